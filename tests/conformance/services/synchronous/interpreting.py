"""The interpreter of random programs, three layers of objects and their helper, with plain `def` handlers.

Owns the meaning of every kind of command. Futures stay open until a command awaits them, some for ever.
"""

from __future__ import annotations

import json
import random
import time
from datetime import timedelta
from typing import Any

import durably
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

__all__ = ["services"]

helper = durably.Service(HELPER)


@helper.handler("ping")
def ping(ctx: durably.SyncContext) -> None:
    """Answer."""


@helper.handler("echo")
def echo(ctx: durably.SyncContext, text: str) -> str:
    """Give back the text."""
    return text


@helper.handler("echoLater")
def echo_later(ctx: durably.SyncContext, request: dict[str, Any]) -> str:
    """Give back the text after a while."""
    ctx.sleep(timedelta(milliseconds=request["sleep"]))
    return str(request["parameter"])


@helper.handler("terminalFailure")
def terminal_failure(ctx: durably.SyncContext) -> str:
    """Fail for good."""
    raise durably.TerminalError("bye")


@helper.handler("incrementIndirectly")
def increment_indirectly(ctx: durably.SyncContext, target: dict[str, Any]) -> None:
    """Send a program of one increment to an object."""
    ctx.generic_send(layer_name(target["layer"]), "interpret", increment(), target["key"])


@helper.handler("resolveAwakeable")
def resolve_awakeable(ctx: durably.SyncContext, awakeable_id: str) -> None:
    """Resolve an awakeable."""
    ctx.resolve_awakeable(awakeable_id, "ok")


@helper.handler("rejectAwakeable")
def reject_awakeable(ctx: durably.SyncContext, awakeable_id: str) -> None:
    """Reject an awakeable."""
    ctx.reject_awakeable(awakeable_id, "error")


@helper.handler("incrementViaAwakeableDance")
def increment_via_awakeable_dance(ctx: durably.SyncContext, request: dict[str, Any]) -> None:
    """Exchange awakeables with the caller, then increment its object."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.resolve_awakeable(request["txPromiseId"], awakeable_id)
    awakeable.result()
    target = request["interpreter"]
    ctx.generic_send(layer_name(target["layer"]), "interpret", increment(), target["key"])


class Interpreter:
    """Executes one program on one object."""

    def __init__(self, ctx: durably.SyncObjectContext, layer: int) -> None:
        """Begin without open futures."""
        self.ctx = ctx
        self.layer = layer
        self.open: dict[int, tuple[Expected, durably.RestateDurableFuture[Any]]] = {}

    def call(self, handler: str, argument: Any) -> durably.RestateDurableCallFuture[bytes]:
        """Call the helper."""
        return self.ctx.start.generic_call(HELPER, handler, b"" if argument is None else json.dumps(argument).encode())

    def send(self, handler: str, argument: Any, delay_ms: int = 0) -> None:
        """Send to the helper."""
        delay = timedelta(milliseconds=delay_ms) if delay_ms else None
        self.ctx.generic_send(HELPER, handler, json.dumps(argument).encode(), send_delay=delay)

    @property
    def own_address(self) -> dict[str, Any]:
        """Name the object that executes the program."""
        return {"layer": self.layer, "key": self.ctx.key()}

    def settle(self, index: int) -> None:
        """Await an open future and compare its outcome with what was expected."""
        if index not in self.open:
            return
        expected, future = self.open.pop(index)
        try:
            outcome = future.result()
        except durably.TerminalError:
            outcome = None
        check(index, expected, outcome)

    def dance(self) -> None:
        """Let the helper increment this object once both sides completed the other's awakeable."""
        awakeable_id, awakeable = self.ctx.awakeable(type_hint=str)
        self.send("incrementViaAwakeableDance", {"interpreter": self.own_address, "txPromiseId": awakeable_id})
        self.ctx.resolve_awakeable(awakeable.result(), "ok")

    def execute(self, index: int, command: dict[str, Any]) -> None:
        """Execute one command."""
        ctx = self.ctx
        match Kind(command["kind"]):
            case Kind.SET_STATE:
                ctx.set(f"key-{command['key']}", f"value-{command['key']}")
            case Kind.GET_STATE:
                ctx.get(f"key-{command['key']}", type_hint=str)
            case Kind.CLEAR_STATE:
                ctx.clear(f"key-{command['key']}")
            case Kind.INCREMENT:
                ctx.set("counter", (ctx.get("counter", type_hint=int) or 0) + 1)
            case Kind.INCREMENT_INDIRECTLY:
                self.send("incrementIndirectly", self.own_address)
            case Kind.SLEEP:
                ctx.sleep(timedelta(milliseconds=command["duration"]))
            case Kind.CALL:
                self.open[index] = Expected.text(f"hello-{index}"), self.call("echo", f"hello-{index}")
            case Kind.CALL_SLOW:
                argument = {"sleep": command["sleep"], "parameter": f"hello-{index}"}
                self.open[index] = Expected.text(f"hello-{index}"), self.call("echoLater", argument)
            case Kind.INCREMENT_LATER:
                self.send("incrementIndirectly", self.own_address, command["duration"])
            case Kind.RUN:
                check(index, Expected("hello"), ctx.run_typed("run", lambda: "hello"))
            case Kind.FLAKY_RUN:
                ctx.run_typed("flaky run", _fail_half_of_the_time, _FLAKY)
            case Kind.SLOW_RUN:
                ctx.run_typed("slow run", lambda: time.sleep(0.001))
            case Kind.RECOVER_FAILURE:
                self.open[index] = Expected.FAILURE, self.call("terminalFailure", None)
                self.settle(index)
            case Kind.OPEN_FAILURE:
                self.open[index] = Expected.FAILURE, self.call("terminalFailure", None)
            case Kind.AWAIT:
                self.settle(command["index"])
            case Kind.RESOLVED_AWAKEABLE:
                awakeable_id, awakeable = ctx.awakeable(type_hint=str)
                self.open[index] = Expected("ok"), awakeable
                self.send("resolveAwakeable", awakeable_id)
            case Kind.REJECTED_AWAKEABLE:
                awakeable_id, awakeable = ctx.awakeable(type_hint=str)
                self.open[index] = Expected.FAILURE, awakeable
                self.send("rejectAwakeable", awakeable_id)
            case Kind.DANCE:
                self.dance()
            case Kind.CALL_NEXT_LAYER:
                program = json.dumps(command["program"]).encode()
                call = ctx.start.generic_call(layer_name(self.layer + 1), "interpret", program, str(command["key"]))
                self.open[index] = Expected.NOTHING, call


_FLAKY = durably.RunOptions[None](initial_retry_interval=timedelta(milliseconds=5), retry_interval_factor=1)


def _fail_half_of_the_time() -> None:
    if random.random() < 0.5:
        raise RuntimeError("Fails half of the time, on purpose")


def _layer(number: int) -> durably.VirtualObject:
    layer = durably.VirtualObject(layer_name(number))

    @layer.handler("interpret")
    def interpret(ctx: durably.SyncObjectContext, program: Program) -> None:
        """Execute a program."""
        interpreter = Interpreter(ctx, number)
        for index, command in enumerate(program["commands"]):
            interpreter.execute(index, command)

    @layer.handler("counter", kind="shared")
    def counter(ctx: durably.SyncObjectSharedContext) -> int:
        """Give the number of increments."""
        return ctx.get("counter", type_hint=int) or 0

    return layer


services = (helper, *(_layer(number) for number in range(LAYERS)))
