"""Await trees: what an await waits for, when it may continue, and how it is written on the wire.

Rules

1. A leaf is a handle; it has completed when its notification is ready, and has failed when that is a
   `Failure`. A handle that was taken is no longer ready, hence pending.
2. A combinator completes as its name says. UNKNOWN means that only the handler knows: it may continue
   whenever any child completes.
3. When a combinator is decided by one child (rules marked * below), evaluation stops at once, however
   deep it stands: the handler sees that completion before anything else is looked at. So the order in
   which it observes completions is the order of the notifications.
4. Otherwise completed children are removed, and what remains is what is waited for.

    combinator                      any child succeeds    any child fails    none left
    ------------------------------  --------------------  -----------------  ---------
    UNKNOWN, FIRST_COMPLETED        decided *             decided *          pending
    ALL_COMPLETED                   removed               removed            succeeded
    FIRST_SUCCEEDED_OR_ALL_FAILED   decided *             removed            failed
    ALL_SUCCEEDED_OR_FIRST_FAILED   removed               decided *          succeeded

Source: service protocol, Future.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from durably.errors import LocalProtocolError
from durably.machine.values import CANCEL, Failure, Handle, Result
from durably.protocol import messages
from durably.protocol.versions import ProtocolVersion

__all__ = [
    "MAX_DEPTH",
    "AwaitTree",
    "Combinator",
    "Combined",
    "Outcome",
    "Pending",
    "awaiting_on_of",
    "future_of",
    "suspension_of",
]

MAX_DEPTH: Final = 200
"""Most combinators inside each other. Far above what people write, far below Python's recursion limit."""

_MAX_WIRE_DEPTH: Final = 60
# Protobuf parsers give up at 100 messages inside each other. Deeper trees are written as one UNKNOWN future of all
# their leaves, which wakes the invocation more often than needed, never less.


class Combinator(enum.IntEnum):
    """When a combined await continues; the values are the protocol's."""

    UNKNOWN = 0
    FIRST_COMPLETED = 1
    ALL_COMPLETED = 2
    FIRST_SUCCEEDED_OR_ALL_FAILED = 3
    ALL_SUCCEEDED_OR_FIRST_FAILED = 4


@dataclass(frozen=True, slots=True)
class Combined:
    """Several awaits combined into one.

    Attributes:
        combinator: When it continues.
        children: Leaves and further combinations, in any order.
    """

    combinator: Combinator
    children: tuple[AwaitTree, ...]


AwaitTree = Handle | Combined
"""What an await waits for: one handle, or a combination."""


class Outcome(enum.IntEnum):
    """What evaluating a tree found. DECIDED stops the evaluation of all that stands above (rule 3)."""

    PENDING = 0
    SUCCEEDED = 1
    FAILED = 2
    DECIDED = 3


_PENDING: Final = Outcome.PENDING
_SUCCEEDED: Final = Outcome.SUCCEEDED
_FAILED: Final = Outcome.FAILED
_DECIDED: Final = Outcome.DECIDED


class Pending:
    """The part of a tree that is still awaited. Shrinks as it is evaluated.

    Attributes:
        combinator: When it continues.
        children: What remains: handles and `Pending`s.
    """

    __slots__ = ("children", "combinator")

    def __init__(self, tree: Combined, depth: int = 1) -> None:
        """Copy `tree`, so that it can shrink.

        Raises:
            LocalProtocolError: It is nested deeper than `MAX_DEPTH` (code 500). Nothing was written.
        """
        if depth > MAX_DEPTH:
            raise LocalProtocolError(
                f"Awaits are combined more than {MAX_DEPTH} levels deep.",
                code=500,
                hint="Combine them in one list instead of one inside the other.",
            )
        self.combinator: Combinator = tree.combinator
        self.children: list[Handle | Pending] = [
            Pending(child, depth + 1) if isinstance(child, Combined) else child for child in tree.children
        ]

    def evaluate(self, ready: Mapping[Handle, Result]) -> Outcome:
        """Compare with what is ready, and forget the children that have completed."""
        combinator = self.combinator
        children = self.children
        index = 0
        while index < len(children):
            child = children[index]
            if isinstance(child, Pending):
                outcome = child.evaluate(ready)
                if outcome is _DECIDED:
                    return outcome
            elif child in ready:
                outcome = _FAILED if type(ready[child]) is Failure else _SUCCEEDED
            else:
                outcome = _PENDING
            if outcome is _PENDING:
                index += 1
                continue
            if combinator <= Combinator.FIRST_COMPLETED or (
                outcome is _SUCCEEDED
                if combinator == Combinator.FIRST_SUCCEEDED_OR_ALL_FAILED
                else outcome is _FAILED and combinator == Combinator.ALL_SUCCEEDED_OR_FIRST_FAILED
            ):
                return _DECIDED
            # The last child takes the free place: children are a set, and this costs the same for any number.
            last = children.pop()
            if index < len(children):
                children[index] = last
        if children or combinator <= Combinator.FIRST_COMPLETED:
            return _PENDING
        return _FAILED if combinator == Combinator.FIRST_SUCCEEDED_OR_ALL_FAILED else _SUCCEEDED

    def leaves(self) -> Iterator[Handle]:
        """Give the handles that are still awaited, those of a combinator before those inside its children."""
        for child in self.children:
            if not isinstance(child, Pending):
                yield child
        for child in self.children:
            if isinstance(child, Pending):
                yield from child.leaves()


def future_of(awaited: Handle | Pending, *, with_cancel: bool) -> messages.Future:
    """Write what is awaited as a V7 future.

    Args:
        awaited: One handle, or what remains of a tree.
        with_cancel: Whether a cancellation must wake the invocation too.
    """
    if not isinstance(awaited, Pending):
        future = messages.Future(combinator_type=Combinator.FIRST_COMPLETED)
        _add_leaf(future, awaited)
    elif with_cancel:
        future = messages.Future(
            nested_futures=[_future_of_pending(awaited, 2)], combinator_type=Combinator.FIRST_COMPLETED
        )
    else:
        future = _future_of_pending(awaited, 1)
    if with_cancel:
        _add_leaf(future, CANCEL)
    return future


def awaiting_on_of(awaited: Handle | Pending, *, with_cancel: bool) -> bytes:
    """Write the serialized AwaitingOn of an await (V7), which is sent once per wait."""
    if with_cancel and isinstance(awaited, int) and 0 < awaited < 16384:
        # One completion or the cancellation: nearly every wait, ten times faster by hand.
        if awaited < 128:
            return b"\x0a\x08\x0a\x01%c\x12\x01\x01\x28\x01" % awaited
        return b"\x0a\x09\x0a\x02%c%c\x12\x01\x01\x28\x01" % (awaited & 127 | 128, awaited >> 7)
    return messages.AwaitingOn(awaiting_on=future_of(awaited, with_cancel=with_cancel)).SerializeToString()


def suspension_of(awaited: Handle | Pending, version: ProtocolVersion, *, with_cancel: bool) -> messages.Suspension:
    """Write the Suspension of an await: the tree since V7, before that the list of all its leaves."""
    if version >= ProtocolVersion.V7:
        return messages.Suspension(awaiting_on=future_of(awaited, with_cancel=with_cancel))
    suspension = messages.Suspension()
    leaves = awaited.leaves() if isinstance(awaited, Pending) else (awaited,)
    if with_cancel and isinstance(awaited, Pending):
        _add_leaf(suspension, CANCEL)
    for leaf in leaves:
        _add_leaf(suspension, leaf)
    if with_cancel and not isinstance(awaited, Pending):
        _add_leaf(suspension, CANCEL)
    return suspension


def _future_of_pending(pending: Pending, depth: int) -> messages.Future:
    if depth >= _MAX_WIRE_DEPTH:
        future = messages.Future(combinator_type=Combinator.UNKNOWN)
        for leaf in pending.leaves():
            _add_leaf(future, leaf)
        return future
    future = messages.Future(combinator_type=pending.combinator)
    for child in pending.children:
        if isinstance(child, Pending):
            future.nested_futures.append(_future_of_pending(child, depth + 1))
        else:
            _add_leaf(future, child)
    return future


def _add_leaf(lists: messages.Future | messages.Suspension, leaf: Handle) -> None:
    if isinstance(leaf, str):
        lists.waiting_named_signals.append(leaf)
    elif leaf < 0:
        lists.waiting_signals.append(-leaf)
    else:
        lists.waiting_completions.append(leaf)
