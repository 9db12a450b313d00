"""VirtualObjectCommandInterpreter with `async def` handlers: futures and their combinations, driven by data.

Owns the meaning of every command of the contract. Awakeable ids are kept in state under `awk-<key>`, results in
the state list `results`.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.conformance.services.contract import AwakeableRejection, AwakeableResolution, InterpretRequest
from tests.conformance.services.peer import restate

__all__ = ["services"]

interpreter = restate.VirtualObject("VirtualObjectCommandInterpreter")
services = (interpreter,)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A future that a command made.

    Attributes:
        future: The durable future.
        text: The command's result when it is not the future's own, as for a sleep.
    """

    future: restate.RestateDurableFuture[Any]
    text: str | None = None

    async def result(self) -> str:
        """Wait for the future and give the command's result."""
        value = await self.future
        return value if self.text is None else self.text


def _awakeable(ctx: restate.ObjectContext, key: str) -> Awaited:
    awakeable_id, future = ctx.awakeable(type_hint=str)
    ctx.set(f"awk-{key}", awakeable_id)
    return Awaited(future)


def _sleep(ctx: restate.ObjectContext, duration_ms: int) -> Awaited:
    return Awaited(ctx.sleep(timedelta(milliseconds=duration_ms)), text="sleep")


async def _yield_then_return(value: str) -> str:
    await asyncio.sleep(0)
    return value


def _fail_for_good(reason: str) -> str:
    raise restate.TerminalError(reason)


def _begin(ctx: restate.ObjectContext, command: dict[str, Any]) -> Awaited:
    match command:
        case {"type": "createAwakeable", "awakeableKey": key}:
            return _awakeable(ctx, key)
        case {"type": "createSignal", "signalName": name}:
            return Awaited(ctx.signal(name, type_hint=str))
        case {"type": "sleep", "timeoutMillis": duration_ms}:
            return _sleep(ctx, duration_ms)
        case {"type": "runReturns", "value": value}:
            return Awaited(ctx.run_typed("return", _yield_then_return, value=value))
        case {"type": "runThrowTerminalException", "reason": reason}:
            return Awaited(ctx.run_typed("fail for good", _fail_for_good, reason=reason))
        case _:
            raise restate.TerminalError(f"Unknown awaitable command {command}", status_code=400)


async def _first_completed(awaited: list[Awaited]) -> str:
    done, _ = await restate.wait_completed(*(each.future for each in awaited))
    return await next(each for each in awaited if each.future is done[0]).result()


async def _first_succeeded(awaited: list[Awaited]) -> str:
    by_future = {each.future: each for each in awaited}
    last_failure: restate.TerminalError | None = None
    async for future in restate.as_completed(*by_future):
        try:
            return await by_future[future].result()
        except restate.TerminalError as failure:
            last_failure = failure
    raise last_failure or restate.TerminalError("Nothing to wait for")


async def _all_succeeded(awaited: list[Awaited]) -> str:
    by_future = {each.future: each for each in awaited}
    async for future in restate.as_completed(*by_future):
        await by_future[future].result()
    return "|".join([await each.result() for each in awaited])


async def _all_completed(awaited: list[Awaited]) -> str:
    await restate.gather(*(each.future for each in awaited))
    outcomes: list[str] = []
    for each in awaited:
        try:
            outcomes.append(f"ok:{await each.result()}")
        except restate.TerminalError as failure:
            outcomes.append(f"err:{failure.message}")
    return "|".join(outcomes)


async def _awakeable_or_timeout(ctx: restate.ObjectContext, key: str, timeout_ms: int) -> str:
    match await restate.select(value=_awakeable(ctx, key).future, timeout=_sleep(ctx, timeout_ms).future):
        case ["value", str(value)]:
            return value
        case _:
            raise restate.TerminalError("await-timeout")


async def _execute(ctx: restate.ObjectContext, command: dict[str, Any]) -> str:
    match command:
        case {"type": "awaitOne", "command": inner}:
            return await _begin(ctx, inner).result()
        case {"type": "awaitAny" | "awaitFirstCompleted", "commands": inner}:
            return await _first_completed([_begin(ctx, each) for each in inner])
        case {"type": "awaitAnySuccessful" | "awaitFirstSucceededOrAllFailed", "commands": inner}:
            return await _first_succeeded([_begin(ctx, each) for each in inner])
        case {"type": "awaitAllSucceededOrFirstFailed", "commands": inner}:
            return await _all_succeeded([_begin(ctx, each) for each in inner])
        case {"type": "awaitAllCompleted", "commands": inner}:
            return await _all_completed([_begin(ctx, each) for each in inner])
        case {"type": "awaitAwakeableOrTimeout", "awakeableKey": key, "timeoutMillis": timeout_ms}:
            return await _awakeable_or_timeout(ctx, key, timeout_ms)
        case {"type": "resolveAwakeable", "awakeableKey": key, "value": value}:
            ctx.resolve_awakeable(await _awakeable_id(ctx, key), value)
            return ""
        case {"type": "rejectAwakeable", "awakeableKey": key, "reason": reason}:
            ctx.reject_awakeable(await _awakeable_id(ctx, key), reason)
            return ""
        case {"type": "getEnvVariable", "envName": name}:
            return await ctx.run_typed("read the environment", lambda: os.environ.get(name, ""))
        case _:
            raise restate.TerminalError(f"Unknown command {command}", status_code=400)


async def _awakeable_id(ctx: restate.ObjectContext | restate.ObjectSharedContext, key: str) -> str:
    awakeable_id = await ctx.get(f"awk-{key}", type_hint=str)
    if awakeable_id is None:
        raise restate.TerminalError(f"No awakeable {key!r} is registered")
    return awakeable_id


@interpreter.handler("interpretCommands")
async def interpret_commands(ctx: restate.ObjectContext, request: InterpretRequest) -> str:
    """Execute commands in order and give the last one's result."""
    result = ""
    for command in request["commands"]:
        result = await _execute(ctx, command)
        ctx.set("results", [*(await ctx.get("results", type_hint=list[str]) or []), result])
    return result


@interpreter.handler("getResults", kind="shared")
async def get_results(ctx: restate.ObjectSharedContext) -> list[str]:
    """Give the results of all commands so far."""
    return await ctx.get("results", type_hint=list[str]) or []


@interpreter.handler("hasAwakeable", kind="shared")
async def has_awakeable(ctx: restate.ObjectSharedContext, key: str) -> bool:
    """Tell whether a command made this awakeable."""
    return await ctx.get(f"awk-{key}", type_hint=str) is not None


@interpreter.handler("resolveAwakeable", kind="shared")
async def resolve_awakeable(ctx: restate.ObjectSharedContext, request: AwakeableResolution) -> None:
    """Resolve an awakeable that a command made."""
    ctx.resolve_awakeable(await _awakeable_id(ctx, request["awakeableKey"]), request["value"])


@interpreter.handler("rejectAwakeable", kind="shared")
async def reject_awakeable(ctx: restate.ObjectSharedContext, request: AwakeableRejection) -> None:
    """Reject an awakeable that a command made."""
    ctx.reject_awakeable(await _awakeable_id(ctx, request["awakeableKey"]), request["reason"])
