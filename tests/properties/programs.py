"""Random handlers as data: what they do, and how an interpreter does it with plain asyncio.

A program is a tree. Every leaf appends to one log, so that the order in which tasks go on is part of
the handler's result, and of later commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

import durably
from durably.authoring.contexts import Context
from durably.authoring.endpoint import Endpoint
from durably.authoring.services import Service
from durably.hosting.asgi import AsgiApp
from durably.hosting.options import HostingOptions, Unsigned

Node = tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """What a handler does: a node, see `Interpreter.do`."""

    root: Node


def leaves() -> st.SearchStrategy[Node]:
    """Give single operations, and short sequences of them."""
    return st.one_of(
        st.tuples(st.just("sleeps"), st.integers(1, 3)),
        st.tuples(st.just("runs"), st.integers(1, 3)),
        st.tuples(st.just("slow_run")),
        st.tuples(st.just("call")),
        st.tuples(st.just("send")),
        st.tuples(st.just("failing_run")),
        st.tuples(st.just("race")),
        st.tuples(st.just("all_of")),
        st.tuples(st.just("timeout")),
    )


def nodes() -> st.SearchStrategy[Node]:
    """Give trees of operations under every way that asyncio has to run them side by side."""
    ways = st.sampled_from(["sequence", "gather", "group", "wait_first", "as_completed", "queue", "lock", "shielded"])
    return st.recursive(
        leaves(),
        lambda children: st.tuples(ways, st.lists(children, min_size=1, max_size=3).map(tuple)),
        max_leaves=6,
    )


def programs() -> st.SearchStrategy[Program]:
    """Give random handlers."""
    return nodes().map(Program)


def endpoint_app(program: Program) -> AsgiApp:
    """Serve a handler that does what the program says."""
    service = Service("Random")

    @service.handler()
    async def run(ctx: Context) -> list[str]:
        interpreter = Interpreter(ctx)
        await interpreter.do(program.root)
        return interpreter.log

    endpoint = Endpoint()
    endpoint.bind(service)
    return AsgiApp(endpoint, HostingOptions(unsigned=Unsigned.ACCEPT))


class Interpreter:
    """Runs a program with a context."""

    def __init__(self, ctx: Context) -> None:
        """Begin with an empty log."""
        self.ctx = ctx
        self.log: list[str] = []
        self.sleepers = 0

    def note(self, text: object) -> None:
        """Append to the log."""
        self.log.append(str(text))

    async def do(self, node: Node) -> None:
        """Do one node."""
        kind, *arguments = node
        await getattr(self, f"do_{kind}")(*arguments)

    # Leaves

    async def do_sleeps(self, times: int) -> None:
        """Sleep several times, and name each timer by what happened before."""
        self.sleepers += 1
        sleeper = self.sleepers
        for _ in range(times):
            await self.ctx.sleep(timedelta(seconds=1), name=f"after {len(self.log)}")
            self.note(f"slept {sleeper}")

    async def do_runs(self, times: int) -> None:
        """Run steps that give the length of the log."""
        for _ in range(times):
            expected = len(self.log)

            async def action(value: int = expected) -> int:
                return value

            self.note(f"ran {await self.ctx.run_typed(f'step {expected}', action)}")

    async def do_slow_run(self) -> None:
        """Run a step that gives up the event loop."""

        async def action() -> str:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            return "slow"

        self.note(await self.ctx.run_typed("slow", action))

    async def do_failing_run(self) -> None:
        """Run a step that fails for good."""

        async def action() -> None:
            raise durably.TerminalError("no", 418)

        try:
            await self.ctx.run_typed("failing", action)
        except durably.TerminalError as error:
            self.note(f"failed {error.status_code}")

    async def do_call(self) -> None:
        """Call another handler, and look at its id."""
        call = self.ctx.generic_call("Other", "echo", f"{len(self.log)}".encode())
        self.note(f"called {await call!r}")
        self.note(await call.invocation_id())

    async def do_send(self) -> None:
        """Send to another handler."""
        handle = self.ctx.generic_send("Other", "later", f"{len(self.log)}".encode())
        self.note(await handle.invocation_id())

    async def do_race(self) -> None:
        """Race two timers."""
        first = self.ctx.sleep(timedelta(seconds=1)).map(lambda _: "left")
        second = self.ctx.sleep(timedelta(seconds=1)).map(lambda _: "right")
        self.note(await durably.race(first, second))

    async def do_all_of(self) -> None:
        """Wait for a call and a timer together."""
        call = self.ctx.generic_call("Other", "echo", b"x")
        self.note(await durably.all_of(call, self.ctx.sleep(timedelta(seconds=1))))

    async def do_timeout(self) -> None:
        """Wait for a call with a time limit."""
        call = self.ctx.generic_call("Other", "echo", b"t")
        try:
            self.note(await call.or_timeout(timedelta(seconds=1)))
        except durably.TerminalError as error:
            self.note(error.status_code)

    # Ways to run several

    async def do_sequence(self, children: tuple[Node, ...]) -> None:
        """One after the other."""
        for child in children:
            await self.do(child)

    async def do_gather(self, children: tuple[Node, ...]) -> None:
        """All at once with `asyncio.gather`."""
        await asyncio.gather(*(self.do(child) for child in children))
        self.note("gathered")

    async def do_group(self, children: tuple[Node, ...]) -> None:
        """All at once in a `TaskGroup`."""
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(self.do(child))
        self.note("grouped")

    async def do_wait_first(self, children: tuple[Node, ...]) -> None:
        """Note which ended first, then wait for the rest."""
        tasks = [asyncio.create_task(self.do(child)) for child in children]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.note(f"first {sorted(tasks.index(task) for task in done)}")
        if pending:
            await asyncio.wait(pending)

    async def do_as_completed(self, children: tuple[Node, ...]) -> None:
        """Note in which order they end."""

        async def numbered(number: int, child: Node) -> int:
            await self.do(child)
            return number

        waits: list[Awaitable[int]] = [numbered(number, child) for number, child in enumerate(children)]
        for completed in asyncio.as_completed(waits):
            self.note(f"completed {await completed}")

    async def do_queue(self, children: tuple[Node, ...]) -> None:
        """Two workers take the children from a queue."""
        queue: asyncio.Queue[Node | None] = asyncio.Queue()

        async def worker() -> None:
            while (child := await queue.get()) is not None:
                await self.do(child)

        workers = [asyncio.create_task(worker()) for _ in range(2)]
        for child in children:
            await queue.put(child)
        for _ in workers:
            await queue.put(None)
        await asyncio.gather(*workers)

    async def do_lock(self, children: tuple[Node, ...]) -> None:
        """All at once, but one at a time."""
        lock = asyncio.Lock()

        async def locked(child: Node) -> None:
            async with lock:
                await self.do(child)

        await asyncio.gather(*(locked(child) for child in children))

    async def do_shielded(self, children: tuple[Node, ...]) -> None:
        """Through layers of futures that are no tasks."""
        await asyncio.shield(asyncio.gather(asyncio.gather(*(self.do(child) for child in children))))
        self.note("unshielded")
