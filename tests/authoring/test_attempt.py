"""What the end of a handler means to its invocation, whatever it returns or raises."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, RetryableError, TerminalError
from durably.authoring.endpoint import Endpoint
from durably.authoring.sync_contexts import SyncContext
from durably.errors import SuspendedException
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import Play, run_once


class Mute(Exception):
    """Has no text to give."""

    def __str__(self) -> str:
        raise ValueError("no text")


class OutOfStock(Exception):
    """Mapped by the endpoint."""


def map_failures(endpoint: Endpoint) -> None:
    """Map some exceptions, one of them with a function that fails."""

    def fail(error: BaseException) -> TerminalError:
        raise RuntimeError("the map is broken")

    endpoint.map_failures({OutOfStock: 410, Mute: 418, KeyError: fail})


def once(error: BaseException) -> Callable[[], int]:
    """Give a function that raises `error` the first time, and counts its calls."""
    calls = 0

    def function() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return calls

    return function


def handlers(action: Callable[[], int]) -> dict[str, Callable[..., Any]]:
    """Give handlers that call `action`: themselves, in a step, beside other waits; `async def` or `def`."""

    async def action_async() -> int:
        return action()

    async def directly(ctx: Context) -> int:
        return action()

    async def in_a_step(ctx: Context) -> int:
        return await ctx.run_typed("step", action_async)

    async def in_a_thread(ctx: Context) -> int:
        return await ctx.run_typed("step", action)

    async def in_one_of_several(ctx: Context) -> int:
        results = await asyncio.gather(ctx.run_typed("step", action_async), ctx.sleep(timedelta(seconds=1)))
        return results[0]

    def directly_sync(ctx: SyncContext) -> int:
        return action()

    def in_a_step_sync(ctx: SyncContext) -> int:
        return ctx.run_typed("step", action)

    def in_one_of_several_sync(ctx: SyncContext) -> int:
        from durably import sync

        return sync.all_of(ctx.start.run_typed("step", action), ctx.start.sleep(timedelta(seconds=1)))[0]

    return {
        each.__name__: each
        for each in (
            directly,
            in_a_step,
            in_a_thread,
            in_one_of_several,
            directly_sync,
            in_a_step_sync,
            in_one_of_several_sync,
        )
    }


PLACES = list(handlers(lambda: 0))
places = pytest.mark.parametrize("place", PLACES)


@places
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("wrong"), "ValueError: wrong"),
        (SystemExit(3), "SystemExit: 3"),
        (BaseException("base"), "BaseException: base"),
        (asyncio.CancelledError("by itself"), "CancelledError: by itself"),
        (BaseExceptionGroup("several", [SystemExit(), ValueError()]), "BaseExceptionGroup: several"),
        (KeyError("the map fails"), "KeyError: 'the map fails'"),
        (RetryableError("later", 503), "later"),
        (SuspendedException("made by user code"), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_other_exceptions_fail_the_attempt_and_are_retried(place: str, error: BaseException, text: str) -> None:
    """Each gives one Error with its text, wherever it is raised; the next attempt goes on."""
    played = run_once(handlers(once(error))[place], configure=map_failures)
    assert played.result == 2
    (written,) = played.errors
    assert text in written.message


@places
@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TerminalError("no", 418), (418, "no")),
        (OutOfStock("tea"), (410, "tea")),
        (Mute(), (418, "<its text could not be had: ValueError>")),
        (TerminalError("no", 99_999_999_999), (500, "no")),
        (TerminalError("no", -1), (500, "no")),
        (TerminalError("no", "bad"), (500, "no")),
        (TerminalError(Mute(), 400), (400, "<its text could not be had: ValueError>")),
        (TerminalError("half a pair: \ud800", 400), (400, "half a pair: \\ud800")),
        (TerminalError("no", 400, {"count": 1}), (400, "no")),
        (ExceptionGroup("group", [ValueError(), TerminalError("inner", 404)]), (404, "inner")),
    ],
    ids=["plain", "mapped", "mute", "huge", "negative", "no number", "no text", "surrogate", "metadata", "group"],
)
def test_terminal_errors_end_the_invocation(place: str, error: BaseException, failure: tuple[int, str]) -> None:
    """Whatever their fields were given, they end it; what cannot be written is replaced."""
    played = run_once(handlers(once(error))[place], configure=map_failures)
    assert played.errors == []
    assert played.result == failure


@places
def test_metadata_of_failures_travels(place: str) -> None:
    """Since V6 the caller gets it; V5 has no place for it, and the attempt fails saying so."""
    error = TerminalError("no", 400, {"field": "name"})
    played = run_once(handlers(once(error))[place])
    assert [(each.key, each.value) for each in played.failure.metadata] == [("field", "name")]
    error = TerminalError("no", 400, {"field": "name"})
    played = run_once(handlers(once(error))[place], version=ProtocolVersion.V5)
    assert [each.code for each in played.errors] == [573]


@places
def test_a_delay_travels_with_a_retryable_error(place: str) -> None:
    """`retry_after` becomes the delay of the next attempt, in milliseconds; a nonsense status becomes 500."""
    error = RetryableError("busy", -5, retry_after=timedelta(seconds=90))
    (written,) = run_once(handlers(once(error))[place]).errors
    assert (written.code, written.next_retry_delay, written.message) == (500, 90_000, "busy")


@places
def test_enormous_texts_are_cut(place: str) -> None:
    """An exception with megabytes of text does not fill the wire."""
    (written,) = run_once(handlers(once(ValueError("x" * 5_000_000)))[place]).errors
    assert len(written.message) <= 64 * 1024
    assert len(written.stacktrace) <= 64 * 1024


@places
def test_exceptions_without_text_are_named(place: str) -> None:
    """An exception whose text cannot be had is reported by its class, with its stack."""

    class Secret(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    (written,) = run_once(handlers(once(Secret()))[place]).errors
    assert written.message == "Secret: <its text could not be had: RuntimeError>"
    assert "in function" in written.stacktrace


def test_a_result_that_cannot_be_written_fails_the_attempt(play: Play) -> None:
    """The result is no JSON: the attempt fails, and says what."""
    results: list[Any] = [{1, object()}, "fine"]

    async def handle(ctx: Context) -> Any:
        return results.pop(0)

    def handle_sync(ctx: SyncContext) -> Any:
        return results.pop(0)

    played = play(handle, handle_sync, fails=True, cuts=False)
    assert played.result == "fine"
    assert len(played.errors) == 1


def test_nothing_is_a_result(play: Play) -> None:
    """A handler that returns nothing completes with an empty output."""

    async def handle(ctx: Context) -> None:
        return None

    def handle_sync(ctx: SyncContext) -> None:
        return None

    assert play(handle, handle_sync).output == b""


def test_sys_exit_does_not_end_the_server() -> None:
    """The loop that serves the handler goes on."""

    async def handle(ctx: Context) -> None:
        sys.exit(1)

    played = run_once(_once_then(handle))
    assert [error.message for error in played.errors] == ["SystemExit: 1"]


def _once_then(handler: Callable[..., Any]) -> Callable[..., Any]:
    calls = 0

    async def handle(ctx: Context) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await handler(ctx)

    return handle
