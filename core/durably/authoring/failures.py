"""Which exceptions end an invocation, and as what.

Owns the maps from exceptions to terminal errors, and the search for the outcome inside what a handler raised.

Rules, in this order:

1. A signal (suspension, failed attempt) anywhere in the exception wins: the attempt is over already.
2. The exception itself: terminal, retryable, or mapped to terminal by the handler's, the service's or the
   endpoint's map.
3. The exceptions of a group: a terminal one wins over a retryable one.
4. The exception that it was raised from, then that one's cause, …: terminal or retryable. Maps do not reach
   here: code that replaced an exception by another wanted the other.

Anything else is left to the runtime's retries. Nothing here writes to a journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from durably.errors import (
    ConfigurationError,
    RetryableError,
    SdkInternalBaseException,
    TerminalError,
)

__all__ = ["FailureMap", "FailureRule", "Outcome", "failure_of", "text_of"]

FailureRule: TypeAlias = int | Callable[[Any], TerminalError | None]
"""A status code, with the exception's text as the message, or a function from the exception to the error.

The function returns None to leave the exception to the next map."""

Outcome: TypeAlias = TerminalError | RetryableError | SdkInternalBaseException

_MIN_STATUS, _MAX_STATUS = 1, 65535


class FailureMap:
    """Says which exceptions are terminal. Immutable.

    A class covers its subclasses; the rule of the closest class is the one that counts.

        FailureMap({OrderNotFound: 404, ValueError: lambda error: TerminalError(str(error), 400)})
    """

    __slots__ = ("_rules",)

    def __init__(self, rules: Mapping[type[BaseException], FailureRule] | None = None) -> None:
        """Check and keep the rules.

        Raises:
            ConfigurationError: A key is no exception class, or a rule is neither a status nor callable.
        """
        kept: dict[type[BaseException], FailureRule] = dict(rules or {})
        for cause, rule in kept.items():
            _check_rule(cause, rule)
        self._rules = kept

    @classmethod
    def of(cls, rules: FailureMap | Mapping[type[BaseException], FailureRule] | None) -> FailureMap:
        """Take what a `failures=` argument was given."""
        return rules if isinstance(rules, FailureMap) else cls(rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def __repr__(self) -> str:
        return f"FailureMap({self._rules!r})"

    def __or__(self, other: FailureMap) -> FailureMap:
        """Join two maps; where both have a rule for a class, the one on the right counts."""
        return FailureMap({**self._rules, **other._rules})

    def find(self, error: BaseException) -> TerminalError | None:
        """Give the terminal error that `error` means here, with `error` as its cause, or None."""
        if not self._rules:
            return None
        for cls in type(error).__mro__:
            rule = self._rules.get(cls)
            if rule is None:
                continue
            terminal = TerminalError(text_of(error) or cls.__name__, rule) if isinstance(rule, int) else rule(error)
            if terminal is not None and terminal.__cause__ is None and terminal is not error:
                terminal.__cause__ = error
            return terminal
        return None


def _check_rule(cause: Any, rule: Any) -> None:
    if not (isinstance(cause, type) and issubclass(cause, BaseException)):
        raise ConfigurationError(f"A failure map is keyed by exception classes; {cause!r} is none.")
    if issubclass(cause, SdkInternalBaseException):
        raise ConfigurationError(f"{cause.__name__} is no failure: it cannot be mapped.")
    if isinstance(rule, int) and not isinstance(rule, bool):
        if not _MIN_STATUS <= rule <= _MAX_STATUS:
            raise ConfigurationError(
                f"{cause.__name__} is mapped to {rule}; a status is {_MIN_STATUS} to {_MAX_STATUS}."
            )
    elif not callable(rule):
        raise ConfigurationError(
            f"{cause.__name__} is mapped to {rule!r}.", hint="Give a status code, or a function from the error."
        )


def text_of(something: object) -> str:
    """Give the text of an exception, or of what stands where a text should, whatever its `__str__` does."""
    try:
        return str(something)
    except Exception as broken:
        return f"<its text could not be had: {type(broken).__name__}>"


def failure_of(error: BaseException, maps: Sequence[FailureMap] = ()) -> Outcome | None:
    """Find how the attempt ends that raised `error`.

    Args:
        error: What left the handler or the step.
        maps: From the most specific to the most general: handler, service, endpoint.

    Returns:
        The signal or the error that was found, or None: nobody said, so the runtime retries.
    """
    if isinstance(error, TerminalError) and error.__cause__ is None and error.__context__ is None:
        return error
    for seen in _everything_below(error):
        if isinstance(seen, SdkInternalBaseException):
            return seen
    return _outcome(error, maps)


def _outcome(error: BaseException, maps: Sequence[FailureMap]) -> Outcome | None:
    own = _own_outcome(error, maps)
    if own is None:
        inside = [_outcome(each, maps) for each in _exceptions_of(error)]
        found = [each for each in inside if each is not None]
        own = next((each for each in found if isinstance(each, TerminalError)), found[0] if found else None)
    if own is not None:
        return own
    cause = error.__cause__
    visited = {id(error)}
    while cause is not None and id(cause) not in visited:
        visited.add(id(cause))
        if isinstance(cause, (TerminalError, RetryableError)):
            return cause
        for each in _exceptions_of(cause):
            found_there = _outcome(each, ())
            if found_there is not None:
                return found_there
        cause = cause.__cause__
    return None


def _own_outcome(error: BaseException, maps: Sequence[FailureMap]) -> Outcome | None:
    if isinstance(error, (TerminalError, RetryableError)):
        return error
    for failure_map in maps:
        terminal = failure_map.find(error)
        if terminal is not None:
            return terminal
    return None


def _exceptions_of(error: BaseException) -> Sequence[BaseException]:
    """Give the members of an exception group; other exceptions have none."""
    if not isinstance(error, BaseExceptionGroup):
        return ()
    group = cast("BaseExceptionGroup[BaseException]", error)
    return group.exceptions


def _everything_below(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception, the members of groups, causes and contexts; each once."""
    pending: list[BaseException] = [error]
    visited: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in visited:
            continue
        visited.add(id(current))
        yield current
        pending.extend(_exceptions_of(current))
        pending.extend(each for each in (current.__cause__, current.__context__) if each is not None)
