"""Work that uses calls, state, timers, awakeables, promises and steps, and a client that survives crashes.

Owns the services and what the client asks of them. Each step leaves a line in a file whenever it is executed, so that a
test sees what ran in which process; each answer that the client gets leaves one too.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import durably
from durably.engine.actions import Accepted, Outcome, Success
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.engine import Engine
from durably.engine.events import Attach, InvocationSelector, Invoke, WorkflowSelector
from durably.engine.records import EngineOptions, RetryPolicy, Target
from durably.protocol.versions import ProtocolVersion

__all__ = ["FLOWS", "SETTINGS", "append", "play", "services"]

FLOWS = ("a", "b")
_SHORT = timedelta(milliseconds=5)
_QUICK = RetryPolicy(initial_interval_ms=5, max_interval_ms=20)
SETTINGS = {
    "default": EngineOptions(retry_policy=_QUICK),
    "suspending": EngineOptions(retry_policy=_QUICK, inactivity_timeout_ms=0),
    "lazy-state-v5": EngineOptions(
        retry_policy=_QUICK, inactivity_timeout_ms=0, enable_lazy_state=True, max_protocol_version=ProtocolVersion.V5
    ),
}


def append(path: Path, line: str) -> None:
    """Append a line in one write, so that a crash leaves whole lines."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (line + "\n").encode())
    finally:
        os.close(descriptor)


def services(effects: Path, append: Callable[[Path, str], None] = append) -> list[Any]:
    """Make the services; each execution of a step appends a line to `effects`."""
    ledger = durably.VirtualObject("Ledger")
    resolver = durably.Service("Resolver")
    gate = durably.Workflow("Gate")
    flow = durably.Service("Flow")

    def step(name: str) -> str:
        token = f"{name}:{os.urandom(4).hex()}"
        append(effects, token)
        return token

    @ledger.handler()
    async def add(ctx: durably.ObjectContext, amount: int) -> int:
        total = (await ctx.get("total", type_hint=int) or 0) + amount
        ctx.set("total", total)
        return total

    @ledger.handler(kind="shared")
    async def total(ctx: durably.ObjectSharedContext) -> int:
        return await ctx.get("total", type_hint=int) or 0

    @resolver.handler()
    async def resolve(ctx: durably.Context, awakeable: str) -> None:
        await ctx.sleep(_SHORT)
        ctx.resolve_awakeable(awakeable, "resolved")

    @gate.main()
    async def run(ctx: durably.WorkflowContext, request: str) -> str:
        ctx.set("request", request)
        return request + (await ctx.promise("opened", type_hint=str).value())

    @gate.handler(name="open")
    async def open_gate(ctx: durably.WorkflowSharedContext, word: str) -> None:
        await ctx.promise("opened", type_hint=str).resolve(word)

    @flow.handler(name="run")
    async def run_flow(ctx: durably.Context, key: str) -> list[str]:
        first = await ctx.run_typed("first", step, name=f"{key}/first")
        await ctx.object_call(add, key=key, arg=1)
        ctx.object_send(add, key=key, arg=10, send_delay=_SHORT)
        ctx.workflow_send(run, key=key, arg="word ")
        name, awaited = ctx.awakeable(type_hint=str)
        ctx.service_send(resolve, arg=name)
        answer = await awaited
        await ctx.sleep(_SHORT)
        second = await ctx.run_typed("second", step, name=f"{key}/second")
        await ctx.workflow_call(open_gate, key=key, arg=answer)
        return [first, second]

    return [ledger, resolver, gate, flow]


async def play(directory: Path, options: EngineOptions, *, endpoint: str | None = None) -> dict[str, Any]:
    """Start an engine, ask for all there is to do, also for what an earlier process asked for, and wait for it.

    Args:
        directory: Has the file and the logs.
        options: Of the engine.
        endpoint: Where the services are served; unless given they run in this process.

    Returns:
        What the client saw at last.
    """
    engine = Engine(
        f"sqlite:///{directory / 'engine.db'}",
        services=services(directory / "effects") if endpoint is None else (),
        options=options,
        stop_grace=timedelta(seconds=1),
    )
    async with engine:
        if endpoint is not None:
            registered = await engine.register(Registration(uri=endpoint, force=True))
            assert isinstance(registered, RegisteredDeployment), registered
        flows = await asyncio.gather(*[_flow(engine, directory, key) for key in FLOWS])
        totals = {key: await _total(engine, key) for key in FLOWS}
        gates = {key: _value(await engine.submit(Attach(WorkflowSelector("Gate", key), reply=0))) for key in FLOWS}
        await _idle(engine)
        return {"flows": dict(zip(FLOWS, flows, strict=True)), "totals": totals, "gates": gates}


async def _flow(engine: Engine, directory: Path, key: str) -> list[str]:
    """Submit a flow, unless an earlier process was told that it is accepted, and wait for it by its id."""
    invocation_id = _acknowledged(directory).get(f"flow-{key}")
    if invocation_id is None:
        target = Target("Flow", "", "run")
        sent = await engine.submit(
            Invoke(target, json.dumps(key).encode(), reply=0, is_send=True, idempotency_key=f"flow-{key}")
        )
        assert isinstance(sent, Accepted), sent
        invocation_id = sent.invocation_id
        append(directory / "answers", f"flow-{key} {invocation_id}")
    result: list[str] = _value(await engine.submit(Attach(InvocationSelector(invocation_id), reply=0)))
    append(directory / "answers", f"flow-{key} {invocation_id} {json.dumps(result)}")
    return result


def _acknowledged(directory: Path) -> dict[str, str]:
    answers = directory / "answers"
    lines = answers.read_text().splitlines() if answers.exists() else []
    return {key: invocation_id for key, invocation_id, *_ in (line.split(" ", 2) for line in lines)}


def _value(outcome: Outcome) -> Any:
    if isinstance(outcome, Success):
        return json.loads(outcome.value) if outcome.value else None
    return {"code": getattr(outcome, "code", None), "message": getattr(outcome, "message", None)}


async def _total(engine: Engine, key: str) -> Any:
    """Ask until the delayed addition is there."""
    while True:
        total = _value(await engine.submit(Invoke(Target("Ledger", key, "total"), b"", reply=0)))
        if total == 11:  # 1 + 10
            return total
        assert isinstance(total, int), total
        assert total < 11, f"an addition was repeated: {total}"
        await asyncio.sleep(0.005)


async def _idle(engine: Engine) -> None:
    """Wait until nothing runs and no timer is left."""
    while await engine.read(lambda reader: bool(reader.running("", 1) or reader.next_timer())):  # noqa: ASYNC110  # the store tells nobody
        await asyncio.sleep(0.005)
