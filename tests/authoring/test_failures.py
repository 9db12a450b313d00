"""Which exceptions are terminal, wherever they hide in what a handler raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durably.authoring.failures import FailureMap, failure_of
from durably.errors import (
    ConfigurationError,
    InvocationCancelledError,
    RetryableError,
    SdkInternalException,
    SuspendedException,
    TerminalError,
)

TERMINAL = TerminalError("no", 402)
RETRYABLE = RetryableError("later")
SUSPENDED = SuspendedException()


def _raised(build: Callable[[], None]) -> BaseException:
    try:
        build()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def _from(outer: BaseException, cause: BaseException) -> BaseException:
    def build() -> None:
        try:
            raise cause
        except BaseException as inner:
            raise outer from inner

    return _raised(build)


def _during(outer: BaseException, first: BaseException) -> BaseException:
    def build() -> None:
        try:
            raise first
        except BaseException:
            raise outer  # noqa: B904 - an exception in an exception handler is the point

    return _raised(build)


MAPPED = FailureMap({LookupError: 404})


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: TERMINAL, TERMINAL),
        (lambda: RETRYABLE, RETRYABLE),
        (lambda: SUSPENDED, SUSPENDED),
        (lambda: ValueError("x"), None),
        (lambda: _from(ValueError(), TERMINAL), TERMINAL),
        (lambda: _from(ValueError(), _from(KeyError(), TERMINAL)), TERMINAL),
        (lambda: _from(ValueError(), RETRYABLE), RETRYABLE),
        (lambda: _during(ValueError(), TERMINAL), None),
        (lambda: _during(ValueError(), SUSPENDED), SUSPENDED),
        (lambda: _from(TerminalError("outer"), SUSPENDED), SUSPENDED),
        (lambda: _during(TerminalError("outer"), SUSPENDED), SUSPENDED),
        (lambda: ExceptionGroup("g", [ValueError(), TERMINAL]), TERMINAL),
        (lambda: ExceptionGroup("g", [RETRYABLE, TERMINAL]), TERMINAL),
        (lambda: ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [RETRYABLE])]), RETRYABLE),
        (lambda: ExceptionGroup("g", [ValueError(), _from(KeyError(), TERMINAL)]), TERMINAL),
        (lambda: BaseExceptionGroup("g", [TERMINAL, BaseExceptionGroup("h", [SUSPENDED])]), SUSPENDED),
        (lambda: _from(ValueError(), ExceptionGroup("g", [TERMINAL])), TERMINAL),
        (lambda: ExceptionGroup("g", [ValueError()]), None),
    ],
    ids=[
        "terminal",
        "retryable",
        "signal",
        "other",
        "cause",
        "cause of cause",
        "retryable cause",
        "context only",
        "signal in context",
        "signal as cause of terminal",
        "signal before terminal",
        "group",
        "terminal beats retryable in a group",
        "nested group",
        "cause in a group",
        "signal in a nested group",
        "group as a cause",
        "group of others",
    ],
)
def test_outcomes_are_found(build: Callable[[], BaseException], expected: BaseException | None) -> None:
    """Terminal and retryable errors are found in causes and groups; a signal anywhere wins over both."""
    assert failure_of(build()) is expected


def test_a_cycle_of_causes_ends() -> None:
    """Exceptions that are each other's cause do not hang the search."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one

    assert failure_of(one) is None


def test_an_outer_terminal_error_is_the_one_that_counts() -> None:
    """Where one terminal error was raised from another, the caller sees the outer one."""
    outer = TerminalError("outer", 400)

    assert failure_of(_from(outer, TERMINAL)) is outer
    assert failure_of(_from(RETRYABLE, TERMINAL)) is RETRYABLE


def test_maps_make_exceptions_terminal() -> None:
    """A mapped exception becomes a terminal error with its text and the rule's status; subclasses are covered."""
    error = KeyError("no such order")
    found = failure_of(error, [MAPPED])

    assert isinstance(found, TerminalError)
    assert (found.status_code, found.message, found.__cause__) == (404, "'no such order'", error)
    nameless = MAPPED.find(LookupError())
    assert nameless is not None
    assert nameless.message == "LookupError"
    assert failure_of(ValueError(), [MAPPED]) is None


def test_maps_reach_into_groups_but_not_into_causes() -> None:
    """A mapped exception in a task group is terminal; one that was replaced by another exception is not."""
    grouped = failure_of(ExceptionGroup("g", [ValueError(), KeyError()]), [MAPPED])

    assert isinstance(grouped, TerminalError)
    assert failure_of(_from(ValueError(), KeyError()), [MAPPED]) is None


def test_the_most_specific_map_and_class_win() -> None:
    """The handler's map comes before the endpoint's; within one map the closest class decides."""
    endpoint = FailureMap({Exception: 500, LookupError: 404})
    handler = FailureMap({KeyError: 410})
    statuses = [
        getattr(failure_of(error, [handler, endpoint]), "status_code", None)
        for error in (KeyError(), IndexError(), OSError())
    ]

    assert statuses == [410, 404, 500]
    joined = endpoint | handler
    assert getattr(joined.find(KeyError()), "status_code", None) == 410
    assert bool(joined)
    assert not FailureMap()
    assert FailureMap.of(joined) is joined
    assert repr(handler) == f"FailureMap({{{KeyError!r}: 410}})"


def test_rules_may_be_functions() -> None:
    """A function builds the error, keeps a cause that it set, or passes the exception on."""

    class Declined(Exception):
        code = 7

    def build(error: Any) -> TerminalError | None:
        return TerminalError(f"declined: {error.code}", 402, {"code": str(error.code)}) if error.code else None

    rules = FailureMap({Declined: build})
    error = Declined()
    found = failure_of(error, [rules])
    assert isinstance(found, TerminalError)
    assert (found.message, found.metadata, found.__cause__) == ("declined: 7", {"code": "7"}, error)
    error.code = 0  # type: ignore[misc]
    assert failure_of(error, [rules]) is None
    own = TerminalError("same")
    assert FailureMap({TerminalError: lambda raised: raised}).find(own) is own
    assert own.__cause__ is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"ValueError": 400}, "keyed by exception classes"),
        ({int: 400}, "keyed by exception classes"),
        ({ValueError: 0}, "a status is 1 to 65535"),
        ({ValueError: 70000}, "a status is 1 to 65535"),
        ({ValueError: "400"}, "Give a status code"),
        ({ValueError: True}, "Give a status code"),
        ({SuspendedException: 400}, "is no failure"),
        ({SdkInternalException: 400}, "is no failure"),
    ],
    ids=["text", "no exception", "zero", "too large", "text status", "bool", "suspension", "failed attempt"],
)
def test_rules_that_cannot_work_are_refused(rules: Any, message: str) -> None:
    """A map is checked when it is made; the signals that unwind a handler cannot be mapped."""
    with pytest.raises(ConfigurationError, match=message):
        FailureMap(rules)


def test_cancellation_is_a_terminal_error() -> None:
    """A cancellation that leaves the handler ends the invocation as such."""
    cancelled = InvocationCancelledError()

    assert failure_of(cancelled) is cancelled
