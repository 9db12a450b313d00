"""Futures made of futures: mapped ones, and first, all, first success, all successes.

Owns `MappedFuture`, and `CombinedFuture`, which evaluates a combinator over its children and names what is still
waited for. The semantics are those of the protocol's Future tree, so that a runtime which knows the
tree wakes the invocation exactly when it can go on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, assert_never, cast

from durably.authoring.futures import DurableFuture, DurableTimeoutError, await_in_turn
from durably.errors import TerminalError, UsageError
from durably.machine import AwaitTree, Combinator, Combined

if TYPE_CHECKING:
    from durably.authoring.operations import Operations
    from durably.machine import Machine

__all__ = [
    "CombinedFuture",
    "MappedFuture",
    "Outcome",
    "all_outcomes",
    "all_values",
    "await_composite",
    "first_settled",
    "first_succeeded",
    "same_context",
    "with_timeout",
]

T = TypeVar("T")
MappedT = TypeVar("MappedT")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How one future of `all_settled` ended.

    Attributes:
        status: "fulfilled" or "rejected".
        value: The value; None when rejected.
        error: The terminal failure; None when fulfilled.
    """

    status: Literal["fulfilled", "rejected"]
    value: T | None = None
    error: TerminalError | None = None


class MappedFuture(DurableFuture[MappedT]):
    """A future whose value is computed from another's."""

    __slots__ = ("_on_error", "_on_value", "source")

    def __init__(
        self,
        source: DurableFuture[T],
        on_value: Callable[[T], MappedT],
        on_error: Callable[[TerminalError], MappedT] | None,
    ) -> None:
        """Follow `source`."""
        super().__init__(source.context, 0)
        self.source: DurableFuture[Any] = source
        self._on_value = on_value
        self._on_error = on_error

    def __await__(self) -> Generator[Any, Any, MappedT]:
        """Wait for the source and give the mapped value."""
        return (yield from await_composite(self))

    def poll(self) -> bool:
        """Settle once the source has."""
        if not self.is_pending:
            return True
        if not self.source.poll():
            return False
        outcome = self.source.outcome
        try:
            if not self.source.failed:
                self.set_value(self._on_value(outcome))
            elif self._on_error is not None and isinstance(outcome, TerminalError):
                self.set_value(self._on_error(outcome))
            else:
                self.set_error(outcome)
        except Exception as error:
            self.set_error(error)
        return True

    def settle(self, machine: Machine) -> None:
        """Do nothing here: the source settles itself."""

    def pending_tree(self) -> AwaitTree:
        """Wait for whatever the source waits for."""
        return self.source.pending_tree()


def await_composite(future: DurableFuture[T]) -> Generator[Any, Any, T]:
    """Wait for a future that is made of others; the body of their `__await__`."""
    if not future.poll():
        yield from await_in_turn(future.context, future)
    if future.failed:
        raise future.outcome
    return cast("T", future.outcome)


def same_context(futures: tuple[DurableFuture[Any], ...]) -> Operations:
    """Give the one context that all `futures` belong to.

    Raises:
        UsageError: There are none, one is not a durable future, or they belong to different attempts.
    """
    if not futures:
        raise UsageError("No future was given.", hint="Pass at least one future that a context operation returned.")
    for future in futures:
        if not isinstance(cast("object", future), DurableFuture):
            raise UsageError(
                f"{type(future).__name__} is not a durable future.",
                hint="Pass what context operations return; combine coroutines with asyncio.gather or a TaskGroup.",
            )
    context = futures[0].context
    if any(future.context is not context for future in futures):
        raise UsageError("The futures belong to different invocations.", hint="Combine futures of one context only.")
    return context


class CombinedFuture(DurableFuture[T]):
    """One future over several, completed by a combinator's rule.

    Source: service protocol V7, Future and CombinatorType; earlier versions wake on any child.
    """

    __slots__ = ("_collect", "_combinator", "children")

    def __init__(
        self,
        combinator: Combinator,
        children: tuple[DurableFuture[Any], ...],
        collect: Callable[[tuple[DurableFuture[Any], ...]], T],
    ) -> None:
        """Combine `children`; `collect` gives the value, or raises, once the rule is met."""
        super().__init__(same_context(children), 0)
        self.children: tuple[DurableFuture[Any], ...] = children
        self._combinator = combinator
        self._collect = collect

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait until the rule is met."""
        return (yield from await_composite(self))

    def poll(self) -> bool:
        """Evaluate the rule over what has been delivered."""
        if not self.is_pending:
            return True
        if not self._is_met():
            return False
        try:
            self.set_value(self._collect(self.children))
        except Exception as error:
            self.set_error(error)
        return True

    def _is_met(self) -> bool:
        children = self.children
        match self._combinator:
            case Combinator.FIRST_COMPLETED | Combinator.UNKNOWN:
                return bool([child for child in children if child.poll()])
            case Combinator.ALL_COMPLETED:
                return len([child for child in children if child.poll()]) == len(children)
            case Combinator.FIRST_SUCCEEDED_OR_ALL_FAILED:
                settled = [child for child in children if child.poll()]
                return len(settled) == len(children) or any(not child.failed for child in settled)
            case Combinator.ALL_SUCCEEDED_OR_FIRST_FAILED:
                settled = [child for child in children if child.poll()]
                return len(settled) == len(children) or any(child.failed for child in settled)
            case _:  # pragma: no cover
                assert_never(self._combinator)

    def settle(self, machine: Machine) -> None:
        """Do nothing here: the children settle themselves."""

    def pending_tree(self) -> AwaitTree:
        """Give the remaining tree: children that are settled no longer take part."""
        pending = tuple(child.pending_tree() for child in self.children if child.is_pending and not child.poll())
        return pending[0] if len(pending) == 1 else Combined(self._combinator, pending)


def first_settled(children: tuple[DurableFuture[Any], ...]) -> Any:
    """Give the value of the first settled child, or raise its failure."""
    for child in children:
        if child.poll():
            if child.failed:
                raise child.outcome
            return child.outcome
    raise AssertionError("collected before any child settled")


def first_succeeded(children: tuple[DurableFuture[Any], ...]) -> Any:
    """Give the value of the first child that succeeded; raise the last failure when none did."""
    for child in children:
        if child.poll() and not child.failed:
            return child.outcome
    raise children[-1].outcome


def all_values(children: tuple[DurableFuture[Any], ...]) -> list[Any]:
    """Give all values in the order of the children, or raise the first failure in that order."""
    for child in children:
        if child.poll() and child.failed:
            raise child.outcome
    return [child.outcome for child in children]


def all_outcomes(children: tuple[DurableFuture[Any], ...]) -> list[Outcome[Any]]:
    """Give how each child ended, in the order of the children."""
    outcomes: list[Outcome[Any]] = []
    for child in children:
        if not child.failed:
            outcomes.append(Outcome("fulfilled", value=child.outcome))
        elif isinstance(child.outcome, TerminalError):
            outcomes.append(Outcome("rejected", error=child.outcome))
        else:
            raise child.outcome
    return outcomes


def with_timeout(future: DurableFuture[T], timer: DurableFuture[None]) -> DurableFuture[T]:
    """Give a future that follows `future`, or fails when `timer` is completed first."""

    def collect(children: tuple[DurableFuture[Any], ...]) -> T:
        follow = children[0]
        if not follow.poll():
            raise DurableTimeoutError
        if follow.failed:
            raise follow.outcome
        return cast("T", follow.outcome)

    return CombinedFuture(Combinator.FIRST_COMPLETED, (future, timer), collect)
