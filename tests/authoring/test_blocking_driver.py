"""Waiting in `def` handlers: suspension, lost connections, steps on helper threads."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from durably import sync
from durably.authoring.sync_contexts import SyncContext
from durably.errors import SuspendedException
from durably.hosting.options import HostingOptions, Unsigned
from tests.authoring.playing import SYNC, Play, app_of, run_once
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)
synchronous = pytest.mark.parametrize("play", SYNC, indirect=True, ids=str)


@synchronous
def test_a_handler_that_swallows_the_suspension_changes_nothing(play: Play) -> None:
    """Every use of the context raises again, and no output is accepted."""
    raised: list[str] = []

    def handle(ctx: SyncContext) -> Any:
        timer = ctx.start.sleep(second)
        try:
            timer.result()
        except BaseException as signal:
            raised.append(type(signal).__name__)
            for use in (lambda: ctx.sleep(second), timer.result, lambda: ctx.run("step", lambda: 1), ctx.awakeable):
                try:
                    use()
                except SuspendedException as again:
                    raised.append(type(again).__name__)
            return "swallowed"
        return "slept"

    played = play(None, handle, cuts=False)
    assert played.result == "slept"
    assert played.commands == ["INPUT", "SLEEP", "OUTPUT"]
    assert raised == ["SuspendedException"] * 5 * (play.setting.carrier != "streaming")


@synchronous
def test_what_is_open_is_closed_on_suspension(play: Play) -> None:
    """Finally blocks run on each attempt."""
    log: list[str] = []

    def handle(ctx: SyncContext) -> None:
        try:
            ctx.sleep(second)
        finally:
            log.append("finally")

    assert len(play(None, handle, cuts=False).attempts) == len(log)


@pytest.mark.parametrize("kind", ["timer", "combined", "step"])
def test_a_lost_connection_unwinds_the_handler(kind: str) -> None:
    """One that swallows the signal gets nothing executed any more."""
    log: list[str] = []
    done = threading.Event()
    executing = threading.Event()
    lost = threading.Event()

    def act() -> None:
        executing.set()
        lost.wait(5)

    def handle(ctx: SyncContext) -> None:
        try:
            if kind == "timer":
                ctx.sleep(second)
            elif kind == "combined":
                sync.race(ctx.start.sleep(second), ctx.start.sleep(second))
            else:
                ctx.run("slow", act)
        except BaseException as signal:
            log.append(type(signal).__name__)
        for _ in range(2):
            try:
                ctx.run("step", lambda: log.append("executed"))
            except BaseException as signal:
                log.append(type(signal).__name__)
        done.set()

    runtime = Runtime(app_of(handle), "Played", "play")
    asyncio.run(runtime.attempt(cut=2))
    lost.set()
    assert done.wait(5)
    assert log == ["Disconnected", "SdkInternalException", "SdkInternalException"]


def test_a_waiting_handler_frees_its_thread() -> None:
    """In request-response mode a handler that waits gives its thread back: one is enough for many."""
    options = HostingOptions(unsigned=Unsigned.ACCEPT, blocked_after=None, threads=1)

    def handle(ctx: SyncContext) -> str:
        ctx.sleep(second)
        return "done"

    app = app_of(handle, options=options)

    async def main() -> list[Any]:
        runtimes = [Runtime(app, "Played", "play", streaming=False) for _ in range(5)]
        await asyncio.gather(*(runtime.attempt() for runtime in runtimes))
        endings = [runtime.attempts[0].ending for runtime in runtimes]
        for runtime in runtimes:
            runtime.complete_one()
        await asyncio.gather(*(runtime.finish() for runtime in runtimes))
        return [*endings, *(runtime.result for runtime in runtimes)]

    assert asyncio.run(main()) == ["suspension"] * 5 + ["done"] * 5


def test_a_single_step_runs_on_the_handlers_thread() -> None:
    """Several that are waited for together run on others."""

    def handle(ctx: SyncContext) -> Any:
        here = threading.get_ident()
        alone = ctx.run("alone", threading.get_ident)
        mapped = ctx.start.run("mapped", threading.get_ident).map(lambda value: value).result()
        beside = sync.all_of(ctx.start.run("one", threading.get_ident), ctx.start.run("two", threading.get_ident))
        return [alone == here, mapped == here, *(each == here for each in beside)]

    assert run_once(handle).result == [True, True, False, False]


def test_a_step_left_behind_on_a_helper_thread() -> None:
    """The handler goes on, and ends, without the step that lost a race; its outcome is ignored."""
    release = threading.Event()

    def handle(ctx: SyncContext) -> Any:
        slow = ctx.start.run("slow", release.wait, args=(5,))
        first = sync.race(slow.map(lambda _: "slow"), ctx.start.sleep(second).map(lambda _: "timer"))
        again = ctx.run("alone", lambda: 1)
        return [first, again]

    played = run_once(handle)
    release.set()
    assert played.result == ["timer", 1]


def test_garbage_from_the_runtime_fails_the_attempt() -> None:
    """The handler is unwound at its next operation."""
    from tests.runtime_model.asgi_stream import AsgiStream
    from tests.runtime_model.runtime import Attempt

    def handle(ctx: SyncContext) -> None:
        ctx.sleep(second)

    async def main() -> Attempt:
        stream = AsgiStream(Runtime(app_of(handle), "Played", "play"), Attempt(1), None)
        stream.feed(b"\x7f\xff\x00\x00\x00\x00\x00\x00")
        await stream.drive()
        return stream.attempt

    attempt = asyncio.run(main())
    assert attempt.ending == "error"
    assert attempt.error.code in (500, 571)
