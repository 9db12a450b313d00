"""The interpreter of random programs, three layers of objects and their helper, with `async def` handlers.

Owns the meaning of every kind of command. Futures stay open until a command awaits them, some for ever.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from tests.conformance.services.interpretation import (
    HELPER,
    LAYERS,
    Expected,
    Kind,
    Program,
    check,
    increment,
    layer_name,
)
from tests.conformance.services.peer import restate

__all__ = ["services"]

helper = restate.Service(HELPER)


@helper.handler("ping")
async def ping(ctx: restate.Context) -> None:
    """Answer."""


@helper.handler("echo")
async def echo(ctx: restate.Context, text: str) -> str:
    """Give back the text."""
    return text


@helper.handler("echoLater")
async def echo_later(ctx: restate.Context, request: dict[str, Any]) -> str:
    """Give back the text after a while."""
    await ctx.sleep(timedelta(milliseconds=request["sleep"]))
    return str(request["parameter"])


@helper.handler("terminalFailure")
async def terminal_failure(ctx: restate.Context) -> str:
    """Fail for good."""
    raise restate.TerminalError("bye")


@helper.handler("incrementIndirectly")
async def increment_indirectly(ctx: restate.Context, target: dict[str, Any]) -> None:
    """Send a program of one increment to an object."""
    ctx.generic_send(layer_name(target["layer"]), "interpret", increment(), target["key"])


@helper.handler("resolveAwakeable")
async def resolve_awakeable(ctx: restate.Context, awakeable_id: str) -> None:
    """Resolve an awakeable."""
    ctx.resolve_awakeable(awakeable_id, "ok")


@helper.handler("rejectAwakeable")
async def reject_awakeable(ctx: restate.Context, awakeable_id: str) -> None:
    """Reject an awakeable."""
    ctx.reject_awakeable(awakeable_id, "error")


@helper.handler("incrementViaAwakeableDance")
async def increment_via_awakeable_dance(ctx: restate.Context, request: dict[str, Any]) -> None:
    """Exchange awakeables with the caller, then increment its object."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.resolve_awakeable(request["txPromiseId"], awakeable_id)
    await awakeable
    target = request["interpreter"]
    ctx.generic_send(layer_name(target["layer"]), "interpret", increment(), target["key"])


class Interpreter:
    """Executes one program on one object."""

    def __init__(self, ctx: restate.ObjectContext, layer: int) -> None:
        """Begin without open futures."""
        self.ctx = ctx
        self.layer = layer
        self.open: dict[int, tuple[Expected, Awaitable[bytes | str]]] = {}

    def call(self, handler: str, argument: Any) -> restate.RestateDurableCallFuture[bytes]:
        """Call the helper."""
        return self.ctx.generic_call(HELPER, handler, b"" if argument is None else json.dumps(argument).encode())

    def send(self, handler: str, argument: Any, delay_ms: int = 0) -> None:
        """Send to the helper."""
        delay = timedelta(milliseconds=delay_ms) if delay_ms else None
        self.ctx.generic_send(HELPER, handler, json.dumps(argument).encode(), send_delay=delay)

    @property
    def own_address(self) -> dict[str, Any]:
        """Name the object that executes the program."""
        return {"layer": self.layer, "key": self.ctx.key()}

    async def settle(self, index: int) -> None:
        """Await an open future and compare its outcome with what was expected."""
        if index not in self.open:
            return
        expected, future = self.open.pop(index)
        try:
            outcome = await future
        except restate.TerminalError:
            outcome = None
        check(index, expected, outcome)

    async def dance(self) -> None:
        """Let the helper increment this object once both sides completed the other's awakeable."""
        awakeable_id, awakeable = self.ctx.awakeable(type_hint=str)
        self.send("incrementViaAwakeableDance", {"interpreter": self.own_address, "txPromiseId": awakeable_id})
        self.ctx.resolve_awakeable(await awakeable, "ok")

    async def execute(self, index: int, command: dict[str, Any]) -> None:
        """Execute one command."""
        ctx = self.ctx
        match Kind(command["kind"]):
            case Kind.SET_STATE:
                ctx.set(f"key-{command['key']}", f"value-{command['key']}")
            case Kind.GET_STATE:
                await ctx.get(f"key-{command['key']}", type_hint=str)
            case Kind.CLEAR_STATE:
                ctx.clear(f"key-{command['key']}")
            case Kind.INCREMENT:
                ctx.set("counter", (await ctx.get("counter", type_hint=int) or 0) + 1)
            case Kind.INCREMENT_INDIRECTLY:
                self.send("incrementIndirectly", self.own_address)
            case Kind.SLEEP:
                await ctx.sleep(timedelta(milliseconds=command["duration"]))
            case Kind.CALL:
                self.open[index] = Expected.text(f"hello-{index}"), self.call("echo", f"hello-{index}")
            case Kind.CALL_SLOW:
                argument = {"sleep": command["sleep"], "parameter": f"hello-{index}"}
                self.open[index] = Expected.text(f"hello-{index}"), self.call("echoLater", argument)
            case Kind.INCREMENT_LATER:
                self.send("incrementIndirectly", self.own_address, command["duration"])
            case Kind.RUN:
                check(index, Expected("hello"), await ctx.run_typed("run", lambda: "hello"))
            case Kind.FLAKY_RUN:
                await ctx.run_typed("flaky run", _fail_half_of_the_time, _FLAKY)
            case Kind.SLOW_RUN:
                await ctx.run_typed("slow run", lambda: time.sleep(0.001))
            case Kind.RECOVER_FAILURE:
                self.open[index] = Expected.FAILURE, self.call("terminalFailure", None)
                await self.settle(index)
            case Kind.OPEN_FAILURE:
                self.open[index] = Expected.FAILURE, self.call("terminalFailure", None)
            case Kind.AWAIT:
                await self.settle(command["index"])
            case Kind.RESOLVED_AWAKEABLE:
                awakeable_id, awakeable = ctx.awakeable(type_hint=str)
                self.open[index] = Expected("ok"), awakeable
                self.send("resolveAwakeable", awakeable_id)
            case Kind.REJECTED_AWAKEABLE:
                awakeable_id, awakeable = ctx.awakeable(type_hint=str)
                self.open[index] = Expected.FAILURE, awakeable
                self.send("rejectAwakeable", awakeable_id)
            case Kind.DANCE:
                await self.dance()
            case Kind.CALL_NEXT_LAYER:
                program = json.dumps(command["program"]).encode()
                call = ctx.generic_call(layer_name(self.layer + 1), "interpret", program, str(command["key"]))
                self.open[index] = Expected.NOTHING, call


_FLAKY = restate.RunOptions[None](initial_retry_interval=timedelta(milliseconds=5), retry_interval_factor=1)


def _fail_half_of_the_time() -> None:
    if random.random() < 0.5:
        raise RuntimeError("Fails half of the time, on purpose")


def _layer(number: int) -> restate.VirtualObject:
    layer = restate.VirtualObject(layer_name(number))

    @layer.handler("interpret")
    async def interpret(ctx: restate.ObjectContext, program: Program) -> None:
        """Execute a program."""
        interpreter = Interpreter(ctx, number)
        for index, command in enumerate(program["commands"]):
            await interpreter.execute(index, command)

    @layer.handler("counter", kind="shared")
    async def counter(ctx: restate.ObjectSharedContext) -> int:
        """Give the number of increments."""
        return await ctx.get("counter", type_hint=int) or 0

    return layer


services = (helper, *(_layer(number) for number in range(LAYERS)))
