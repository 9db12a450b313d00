"""VirtualObjectCommandInterpreter with plain `def` handlers: futures and their combinations, driven by data.

Owns the meaning of every command of the contract. Awakeable ids are kept in state under `awk-<key>`, results in
the state list `results`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import durably
from tests.conformance.services.contract import AwakeableRejection, AwakeableResolution, InterpretRequest

__all__ = ["services"]

interpreter = durably.VirtualObject("VirtualObjectCommandInterpreter")
services = (interpreter,)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A future that a command made.

    Attributes:
        future: The durable future.
        text: The command's result when it is not the future's own, as for a sleep.
    """

    future: durably.RestateDurableFuture[Any]
    text: str | None = None

    def result(self) -> str:
        """Wait for the future and give the command's result."""
        value = self.future.result()
        return value if self.text is None else self.text


def _awakeable(ctx: durably.SyncObjectContext, key: str) -> Awaited:
    awakeable_id, future = ctx.awakeable(type_hint=str)
    ctx.set(f"awk-{key}", awakeable_id)
    return Awaited(future)


def _sleep(ctx: durably.SyncObjectContext, duration_ms: int) -> Awaited:
    return Awaited(ctx.start.sleep(timedelta(milliseconds=duration_ms)), text="sleep")


def _yield_then_return(value: str) -> str:
    time.sleep(0)
    return value


def _fail_for_good(reason: str) -> str:
    raise durably.TerminalError(reason)


def _begin(ctx: durably.SyncObjectContext, command: dict[str, Any]) -> Awaited:
    match command:
        case {"type": "createAwakeable", "awakeableKey": key}:
            return _awakeable(ctx, key)
        case {"type": "createSignal", "signalName": name}:
            return Awaited(ctx.start.signal(name, type_hint=str))
        case {"type": "sleep", "timeoutMillis": duration_ms}:
            return _sleep(ctx, duration_ms)
        case {"type": "runReturns", "value": value}:
            return Awaited(ctx.start.run_typed("return", _yield_then_return, value=value))
        case {"type": "runThrowTerminalException", "reason": reason}:
            return Awaited(ctx.start.run_typed("fail for good", _fail_for_good, reason=reason))
        case _:
            raise durably.TerminalError(f"Unknown awaitable command {command}", status_code=400)


def _first_completed(awaited: list[Awaited]) -> str:
    done, _ = durably.sync.wait_completed(*(each.future for each in awaited))
    return next(each for each in awaited if each.future is done[0]).result()


def _first_succeeded(awaited: list[Awaited]) -> str:
    by_future = {each.future: each for each in awaited}
    last_failure: durably.TerminalError | None = None
    for future in durably.sync.as_completed(*by_future):
        try:
            return by_future[future].result()
        except durably.TerminalError as failure:
            last_failure = failure
    raise last_failure or durably.TerminalError("Nothing to wait for")


def _all_succeeded(awaited: list[Awaited]) -> str:
    by_future = {each.future: each for each in awaited}
    for future in durably.sync.as_completed(*by_future):
        by_future[future].result()
    return "|".join([each.result() for each in awaited])


def _all_completed(awaited: list[Awaited]) -> str:
    durably.sync.gather(*(each.future for each in awaited))
    outcomes: list[str] = []
    for each in awaited:
        try:
            outcomes.append(f"ok:{each.result()}")
        except durably.TerminalError as failure:
            outcomes.append(f"err:{failure.message}")
    return "|".join(outcomes)


def _awakeable_or_timeout(ctx: durably.SyncObjectContext, key: str, timeout_ms: int) -> str:
    match durably.sync.select(value=_awakeable(ctx, key).future, timeout=_sleep(ctx, timeout_ms).future):
        case ["value", str(value)]:
            return value
        case _:
            raise durably.TerminalError("await-timeout")


def _execute(ctx: durably.SyncObjectContext, command: dict[str, Any]) -> str:
    match command:
        case {"type": "awaitOne", "command": inner}:
            return _begin(ctx, inner).result()
        case {"type": "awaitAny" | "awaitFirstCompleted", "commands": inner}:
            return _first_completed([_begin(ctx, each) for each in inner])
        case {"type": "awaitAnySuccessful" | "awaitFirstSucceededOrAllFailed", "commands": inner}:
            return _first_succeeded([_begin(ctx, each) for each in inner])
        case {"type": "awaitAllSucceededOrFirstFailed", "commands": inner}:
            return _all_succeeded([_begin(ctx, each) for each in inner])
        case {"type": "awaitAllCompleted", "commands": inner}:
            return _all_completed([_begin(ctx, each) for each in inner])
        case {"type": "awaitAwakeableOrTimeout", "awakeableKey": key, "timeoutMillis": timeout_ms}:
            return _awakeable_or_timeout(ctx, key, timeout_ms)
        case {"type": "resolveAwakeable", "awakeableKey": key, "value": value}:
            ctx.resolve_awakeable(_awakeable_id(ctx, key), value)
            return ""
        case {"type": "rejectAwakeable", "awakeableKey": key, "reason": reason}:
            ctx.reject_awakeable(_awakeable_id(ctx, key), reason)
            return ""
        case {"type": "getEnvVariable", "envName": name}:
            return ctx.run_typed("read the environment", lambda: os.environ.get(name, ""))
        case _:
            raise durably.TerminalError(f"Unknown command {command}", status_code=400)


def _awakeable_id(ctx: durably.SyncObjectContext | durably.SyncObjectSharedContext, key: str) -> str:
    awakeable_id = ctx.get(f"awk-{key}", type_hint=str)
    if awakeable_id is None:
        raise durably.TerminalError(f"No awakeable {key!r} is registered")
    return awakeable_id


@interpreter.handler("interpretCommands")
def interpret_commands(ctx: durably.SyncObjectContext, request: InterpretRequest) -> str:
    """Execute commands in order and give the last one's result."""
    result = ""
    for command in request["commands"]:
        result = _execute(ctx, command)
        ctx.set("results", [*(ctx.get("results", type_hint=list[str]) or []), result])
    return result


@interpreter.handler("getResults", kind="shared")
def get_results(ctx: durably.SyncObjectSharedContext) -> list[str]:
    """Give the results of all commands so far."""
    return ctx.get("results", type_hint=list[str]) or []


@interpreter.handler("hasAwakeable", kind="shared")
def has_awakeable(ctx: durably.SyncObjectSharedContext, key: str) -> bool:
    """Tell whether a command made this awakeable."""
    return ctx.get(f"awk-{key}", type_hint=str) is not None


@interpreter.handler("resolveAwakeable", kind="shared")
def resolve_awakeable(ctx: durably.SyncObjectSharedContext, request: AwakeableResolution) -> None:
    """Resolve an awakeable that a command made."""
    ctx.resolve_awakeable(_awakeable_id(ctx, request["awakeableKey"]), request["value"])


@interpreter.handler("rejectAwakeable", kind="shared")
def reject_awakeable(ctx: durably.SyncObjectSharedContext, request: AwakeableRejection) -> None:
    """Reject an awakeable that a command made."""
    ctx.reject_awakeable(_awakeable_id(ctx, request["awakeableKey"]), request["reason"])
