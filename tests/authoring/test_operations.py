"""What all operations share: how they end with the attempt, and what operators read."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, race
from durably.errors import SdkInternalException
from tests.authoring.playing import app_of, run_once
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)

OPERATIONS: dict[str, Any] = {
    "run": lambda ctx: ctx.run("step", lambda: 1),
    "sleep": lambda ctx: ctx.sleep(second),
    "awakeable": lambda ctx: ctx.awakeable(),
    "resolve_awakeable": lambda ctx: ctx.resolve_awakeable("sign_1abc", 1),
    "reject_awakeable": lambda ctx: ctx.reject_awakeable("sign_1abc", "no"),
    "signal": lambda ctx: ctx.signal("name"),
    "resolve_signal": lambda ctx: ctx.resolve_signal("inv_1a", "name", 1),
    "reject_signal": lambda ctx: ctx.reject_signal("inv_1a", "name", "no"),
    "cancel_invocation": lambda ctx: ctx.cancel_invocation("inv_1a"),
    "attach_invocation": lambda ctx: ctx.attach_invocation("inv_1a"),
    "invocation_output": lambda ctx: ctx.invocation_output("inv_1a"),
    "generic_call": lambda ctx: ctx.generic_call("A", "b", b""),
    "generic_send": lambda ctx: ctx.generic_send("A", "b", b""),
    "get": lambda ctx: ctx.get("key"),
    "state_keys": lambda ctx: ctx.state_keys(),
    "set": lambda ctx: ctx.set("key", 1),
    "clear": lambda ctx: ctx.clear("key"),
    "clear_all": lambda ctx: ctx.clear_all(),
    "promise value": lambda ctx: ctx.promise("p").value(),
    "promise peek": lambda ctx: ctx.promise("p").peek(),
    "promise resolve": lambda ctx: ctx.promise("p").resolve(1),
    "promise reject": lambda ctx: ctx.promise("p").reject("no"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_raise_after_the_attempt(name: str) -> None:
    """A context that outlives its attempt refuses everything, and writes nothing."""
    kept: list[Any] = []

    async def handle(ctx: Any) -> None:
        kept.append(ctx)

    played = run_once(handle, kind="workflow", key="k", state={})
    with pytest.raises(SdkInternalException):
        OPERATIONS[name](kept[0])
    assert played.commands == ["INPUT", "OUTPUT"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_raise_after_a_mismatch(name: str) -> None:
    """Once the attempt has failed each raises again, and the one Error stays the only one."""
    raised: list[str] = []

    async def handle(ctx: Any) -> None:
        for use in (lambda: ctx.generic_send("Other", "name", b""), lambda: OPERATIONS[name](ctx)):
            try:
                use()
            except SdkInternalException as signal:
                raised.append(type(signal).__name__)

    runtime = Runtime(app_of(handle, kind="workflow"), "Played", "play", key="k", state={})
    runtime.journal.append((0x0411, b"X\x01b\x04step"))
    attempt = asyncio.run(runtime.attempt())
    assert attempt.error.code == 570
    assert len(attempt.frames) == 1
    assert raised == ["SdkInternalException"] * 2


def test_a_context_describes_itself() -> None:
    """Handler and invocation, for logs."""

    async def handle(ctx: Context) -> str:
        return ctx.describe()

    assert run_once(handle).result == "Played/play inv_1model"


def test_a_mismatch_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Further operations of the failed attempt add nothing to the log."""

    async def handle(ctx: Context) -> None:
        for _ in range(3):
            try:
                ctx.sleep(second)
            except SdkInternalException:
                continue

    runtime = Runtime(app_of(handle), "Played", "play")
    runtime.journal.append((0x0411, b"X\x01b\x04step"))
    asyncio.run(runtime.attempt())
    assert len([record for record in caplog.records if record.name == "durably.attempt"]) == 1


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
def test_a_wait_that_was_added_fails_the_attempt(several: bool) -> None:
    """The journal goes on with a command although nothing that is waited for has arrived."""

    async def handle(ctx: Context) -> None:
        if several:
            await asyncio.gather(ctx.awakeable()[1], ctx.awakeable()[1])
        else:
            await ctx.awakeable()[1]

    runtime = Runtime(app_of(handle), "Played", "play")
    runtime.journal.append((0x0411, b"X\x01b\x04step"))
    attempt = asyncio.run(runtime.attempt())
    assert attempt.error.code == 570
    assert "awaits awakeable 17" in attempt.error.message


def test_another_result_than_the_recorded_one_fails_the_attempt() -> None:
    """A result that is recorded stays: a handler that gives another one does not follow its journal."""
    results = iter(["first", "second"])

    async def handle(ctx: Context) -> str:
        return next(results)

    runtime = Runtime(app_of(handle), "Played", "play")
    asyncio.run(runtime.finish())
    assert asyncio.run(runtime.attempt()).error.code == 570


def test_an_operation_after_the_attempt_has_failed_in_a_task() -> None:
    """A task that goes on after another one's mismatch raises too, and the attempt ends."""
    raised: list[str] = []

    async def handle(ctx: Context) -> None:
        timer = ctx.awakeable()[1]

        async def fail() -> None:
            ctx.sleep(second)

        async def go_on() -> None:
            await asyncio.sleep(0)
            try:
                await timer
            except SdkInternalException as signal:
                raised.append(type(signal).__name__)

        await asyncio.gather(fail(), go_on(), return_exceptions=True)

    runtime = Runtime(app_of(handle), "Played", "play")
    runtime.journal.append((0x0411, b"X\x01b\x04step"))
    assert asyncio.run(runtime.attempt()).error.code == 570
    assert raised == ["SdkInternalException"]


@pytest.mark.parametrize("depth", [300, 1500])
def test_combinations_that_are_too_deep_fail_their_tasks(depth: int) -> None:
    """With several tasks too, nothing hangs."""

    async def handle(ctx: Context) -> str:
        future: Any = ctx.sleep(second)
        for _ in range(depth):
            future = race(future, ctx.sleep(second))
        await asyncio.gather(future, ctx.sleep(second))
        return "done"

    assert asyncio.run(Runtime(app_of(handle), "Played", "play").attempt()).ending == "error"
