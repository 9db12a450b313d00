"""Retries of durable steps, and what becomes of results and actions that cannot work."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from durably import Context, RetryableError, RunOptions, TerminalError, getLogger
from durably.authoring.runs import is_coroutine_action
from durably.authoring.sync_contexts import SyncContext
from durably.errors import RunFailedError, UsageError
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import Play, Setting, run_once
from tests.runtime_model.runtime import Runtime

V6, V7 = ProtocolVersion.V6, ProtocolVersion.V7


class Failing:
    """An action that fails a number of times."""

    def __init__(self, times: int, error: Callable[[], Exception] = lambda: ValueError("wrong")) -> None:
        """Fail so often."""
        self.left = times
        self.error = error

    def act(self) -> str:
        """Fail, or give a result."""
        if self.left:
            self.left -= 1
            raise self.error()
        return "done"

    async def act_async(self) -> str:
        """Do the same."""
        return self.act()


def stepping(failing: Failing, options: RunOptions[Any], flavour: str) -> Callable[..., Any]:
    """Give a handler that takes the step and reports how it failed."""

    async def handle(ctx: Context) -> Any:
        try:
            return await ctx.run_typed("step", failing.act_async, options)
        except RunFailedError as error:
            return [error.status_code, error.message, repr(error.__cause__)]

    def handle_sync(ctx: SyncContext) -> Any:
        try:
            return ctx.run_typed("step", failing.act, options)
        except RunFailedError as error:
            return [error.status_code, error.message, repr(error.__cause__)]

    return handle if flavour == "async" else handle_sync


flavours = pytest.mark.parametrize("flavour", ["async", "sync"])
second = timedelta(seconds=1)


@flavours
@pytest.mark.parametrize(
    ("options", "retries", "delay_ms"),
    [
        (RunOptions(), (0, 0), None),
        (RunOptions(max_attempts=9), (0, 0), 50),
        (RunOptions(max_attempts=9), (3, 0), 400),
        (RunOptions(initial_retry_interval=second), (2, 0), 4000),
        (RunOptions(initial_retry_interval=second, retry_interval_factor=1.0), (5, 0), 1000),
        (RunOptions(max_retry_interval=3 * second, initial_retry_interval=second), (8, 0), 3000),
        (RunOptions(max_duration=60 * second), (1, 59_000), 100),
        (RunOptions(max_retry_duration=60 * second), (1, 59_000), 100),
    ],
    ids=["default", "first", "fourth", "growing", "constant", "bounded", "duration", "older name"],
)
def test_the_delay_of_the_next_attempt(
    flavour: str, options: RunOptions[Any], retries: tuple[int, int], delay_ms: int | None
) -> None:
    """Without options the runtime's policy decides; with any of them the delay is exponential."""

    def prepare(runtime: Runtime) -> None:
        runtime.journal.append((0x0411, b"X\x01b\x04step"))  # the step is recorded, and has failed before
        runtime.retries = retries

    played = run_once(stepping(Failing(1), options, flavour), prepare=prepare if any(retries) else None)
    assert played.result == "done"
    (error,) = played.errors
    assert (error.next_retry_delay if error.HasField("next_retry_delay") else None) == delay_ms
    assert (error.related_command_name, error.related_command_index) == ("step", 1)


@flavours
@pytest.mark.parametrize("options", [RunOptions(max_attempts=3), RunOptions(max_duration=9 * second)])
def test_retries_run_out(flavour: str, options: RunOptions[Any]) -> None:
    """The last failure becomes a `RunFailedError` in the handler, with the exception as its cause."""

    def prepare(runtime: Runtime) -> None:
        runtime.journal.append((0x0411, b"X\x01b\x04step"))
        runtime.retries = (2, 9000)

    played = run_once(stepping(Failing(9), options, flavour), prepare=prepare)
    assert played.result == [500, "ValueError: wrong", "ValueError('wrong')"]
    assert played.errors == []


@flavours
def test_a_step_without_retries(flavour: str) -> None:
    """One attempt is the first execution and no more."""
    played = run_once(stepping(Failing(1), RunOptions(max_attempts=1), flavour))
    assert played.result == [500, "ValueError: wrong", "ValueError('wrong')"]


@flavours
def test_retries_that_run_out_pause_the_invocation(flavour: str) -> None:
    """With V7 an operator can be asked instead; older protocols cannot, and say so."""
    options: RunOptions[Any] = RunOptions(max_attempts=1, on_max_attempts="pause")
    (error,) = run_once(stepping(Failing(1), options, flavour), version=V7).errors
    assert error.behavior == 1
    (error,) = run_once(stepping(Failing(1), options, flavour), version=V6).errors
    assert error.code == 573


@flavours
def test_a_retryable_error_names_its_own_delay(flavour: str) -> None:
    """It wins over the policy, and over the invocation's."""
    for options in (RunOptions(), RunOptions(max_attempts=5)):
        failing = Failing(1, lambda: RetryableError("busy", 429, retry_after=timedelta(minutes=1)))
        (error,) = run_once(stepping(failing, options, flavour)).errors
        assert (error.code, error.message, error.next_retry_delay) == (429, "busy", 60_000)


@flavours
def test_the_cause_is_kept_where_the_step_ran(flavour: str) -> None:
    """The attempt that executed the step has the exception itself; a mapped one is terminal."""

    class Refused(Exception):
        pass

    failing = Failing(1, lambda: Refused("never"))
    handler = stepping(failing, RunOptions(), flavour)
    played = run_once(handler, failures={Refused: 403})
    assert played.result == [403, "never", "Refused('never')"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (RunOptions(max_attempts=0), "max_attempts is 0"),
        (RunOptions(max_duration=-second), "negative duration"),
        (RunOptions(initial_retry_interval=-second), "negative duration"),
    ],
    ids=["attempts", "duration", "interval"],
)
def test_options_out_of_bounds_are_refused(options: RunOptions[Any], text: str) -> None:
    """They are told at the call, before anything is journaled."""

    async def handle(ctx: Context) -> None:
        with pytest.raises(UsageError, match=text):
            ctx.run_typed("step", Failing(0).act, options)

    assert run_once(handle).commands == ["INPUT", "OUTPUT"]


SEVERAL = pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
V6_STREAMING = [Setting(flavour, "streaming", V6) for flavour in ("async", "sync")]
in_both = pytest.mark.parametrize("play", V6_STREAMING, indirect=True, ids=str)


@in_both
def test_a_result_that_cannot_be_written_fails_the_step(play: Play) -> None:
    """It counts as a failed execution: the attempt fails, and the step is executed again."""
    results: list[Any] = [{object()}, "fine"]

    async def act() -> Any:
        return results.pop(0)

    async def handle(ctx: Context) -> Any:
        return await ctx.run_typed("step", act)

    def handle_sync(ctx: SyncContext) -> Any:
        return ctx.run_typed("step", lambda: results.pop(0))

    played = play(handle, handle_sync, fails=True, cuts=False)
    assert played.result == "fine"
    assert len(played.errors) == 1


@SEVERAL
@pytest.mark.parametrize("where", ["task", "thread", "sync"])
def test_actions_must_not_use_the_context(several: bool, where: Literal["task", "thread", "sync"]) -> None:
    """Any operation inside an action is refused, and says why; nothing is journaled by it."""
    refused: list[str] = []
    uses: list[Callable[[Any], Any]] = [
        lambda ctx: ctx.sleep(timedelta(seconds=1)),
        lambda ctx: ctx.run("inner", lambda: 1),
        lambda ctx: ctx.generic_call("A", "b", b""),
        lambda ctx: ctx.awakeable(),
        lambda ctx: ctx.uuid(),
        lambda ctx: ctx.random(),
        lambda ctx: ctx.time(),
    ]

    def misuse(context: Any) -> None:
        for use in uses:
            with pytest.raises(UsageError, match="used the handler's context") as caught:
                use(context)
            refused.append(str(caught.value))

    async def handle(ctx: Context) -> None:
        async def act() -> None:
            misuse(ctx)

        step = ctx.run_typed("step", act if where == "task" else lambda: misuse(ctx))
        if several:
            await asyncio.gather(step, ctx.sleep(timedelta(seconds=1)))
        else:
            await step

    def handle_sync(ctx: SyncContext) -> None:
        from durably import sync

        if several:
            sync.gather(ctx.start.run("step", lambda: misuse(ctx.start)), ctx.start.sleep(timedelta(seconds=1)))
        else:
            ctx.run("step", lambda: misuse(ctx))

    played = run_once(handle_sync if where == "sync" else handle)
    assert len(refused) == len(uses)
    assert played.commands == ["INPUT", "RUN", *["SLEEP"] * several, "OUTPUT"]
    ctx_works_again = run_once(handle_sync if where == "sync" else handle, cuts=[2, 3])
    assert ctx_works_again.errors == []


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_failed_steps_are_logged(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else tells why a caller waits: the handler does not see it while the step is tried again.

    A RetryableError is told without its traceback, a terminal error is the handler's to tell.
    """
    errors: list[Exception] = [ConnectionError("no route"), RetryableError("busy"), TerminalError("no")]

    def act() -> None:
        raise errors.pop(0)

    async def handle(ctx: Context) -> None:
        await ctx.run_typed("charge", act)

    def handle_sync(ctx: SyncContext) -> None:
        ctx.run_typed("charge", act)

    run_once(handle if colour == "async" else handle_sync)
    told = [record for record in caplog.records if record.name == "durably.attempt"]
    assert [record.levelname for record in told] == ["ERROR", "WARNING"]
    assert all("step 'charge' failed" in record.getMessage() for record in told)
    assert told[1].getMessage().endswith("failed: busy")
    kept = told[0].exc_info
    assert kept is not None
    assert isinstance(kept[1], ConnectionError)


@SEVERAL
def test_steps_may_log(several: bool) -> None:
    """The filter that silences replays lets records of steps pass, and does not fail."""
    logger = getLogger("durably.test.steps")

    async def act() -> bool:
        return all(each.filter(logger.makeRecord("n", 20, "f", 1, "m", (), None)) for each in logger.filters)

    async def handle(ctx: Context) -> Any:
        step = ctx.run_typed("step", act)
        if several:
            return (await asyncio.gather(step, ctx.sleep(timedelta(seconds=1))))[0]
        return await step

    assert run_once(handle).result is True


@SEVERAL
def test_threads_see_the_context_variables_of_the_handler(several: bool) -> None:
    """A plain function runs in a thread of its own, with what the handler has set."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    loop_thread: list[int] = []

    def act() -> list[Any]:
        return [variable.get(), threading.get_ident() == loop_thread[0]]

    async def handle(ctx: Context) -> Any:
        loop_thread.append(threading.get_ident())
        variable.set("set")
        step = ctx.run_typed("step", act)
        if several:
            return (await asyncio.gather(step, ctx.sleep(timedelta(seconds=1))))[0]
        return await step

    assert run_once(handle).result == ["set", False]


def test_an_async_action_in_a_def_handler_is_refused() -> None:
    """Nobody would await it: the attempt fails, and says what to do."""
    attempts = 0

    def handle(ctx: SyncContext) -> str:
        nonlocal attempts
        attempts += 1
        action: Any = Failing(0).act_async if attempts == 1 else Failing(0).act
        return ctx.run("step", action)

    (error,) = run_once(handle).errors
    assert "async action" in error.message


def test_coroutine_functions_are_recognized() -> None:
    """Wrappers are looked through for a bounded number of times; classes are not called."""

    async def act() -> None: ...

    endless: Any = lambda: None  # noqa: E731 - it must be its own wrapped function
    endless.__wrapped__ = endless

    class Endless:
        __wrapped__: Any

    circle = Endless()
    circle.__wrapped__ = circle
    assert is_coroutine_action(act)
    assert not is_coroutine_action(circle)
    assert not is_coroutine_action(Failing)
    assert not is_coroutine_action(print)
