"""Notifications: appended to a journal, and what they set in motion.

Rules

1. What becomes of a notification:

    status        effect
    ------------  ------------------------------------------------------------
    RUNNING       appended, delivered to the attempt
    SUSPENDED     appended; a new attempt when what is awaited is decided
    BACKING_OFF   appended; CANCEL also begins the next attempt at once
    PAUSED        appended; only CANCEL begins an attempt
    SCHEDULED     dropped; CANCEL is not a notification there, see `lifecycle`
    INBOXED       as SCHEDULED
    COMPLETED     dropped

2. Signals are stored as they come, each of them.
3. What is awaited is a tree of futures. A future is decided as its combinator says:

    combinator                      any child succeeded  any child failed  none left
    ------------------------------  -------------------  ----------------  ---------
    UNKNOWN                         maybe                maybe             pending
    FIRST_COMPLETED                 succeeded            failed            pending
    ALL_COMPLETED                   –                    –                 succeeded
    FIRST_SUCCEEDED_OR_ALL_FAILED   succeeded            –                 failed
    ALL_SUCCEEDED_OR_FIRST_FAILED   –                    failed            succeeded

   `maybe` means that only the handler knows. Where a child that is `maybe` could decide its parent,
   the parent is `maybe`; the invocation wakes unless the whole tree is pending.
4. Only notifications count that were stored after the last attempt began: what it began with its handler
   has seen, so that a signal which it waits for must be a further one.
5. Before V7 there is one flat list: any of it wakes. It is stored as a FIRST_COMPLETED.

Source: service protocol, Future and SuspensionMessage.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Final

from durably.engine.core.results import VOID, completion, signal
from durably.engine.core.turn import Turn
from durably.engine.records import CANCEL_SIGNAL, Handle, Invocation, Status, TimerKind
from durably.protocol import messages
from durably.protocol.messages import MessageType

__all__ = ["Verdict", "complete_command", "depth_of", "handles_of", "is_decided", "judge", "send_signal"]

_CANCEL: Final = -CANCEL_SIGNAL


class Verdict(enum.Enum):
    """What is known of a future."""

    PENDING = enum.auto()
    MAYBE = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()


def complete_command(
    turn: Turn, invocation: Invocation, type: int, completion_id: int, body: bytes, *, failed: bool
) -> None:
    """Append the completion of a command, and wake its invocation if that is due.

    Args:
        turn: The turn.
        invocation: Whose command.
        type: Message type of the notification.
        completion_id: Which completion.
        body: What it brings; see `results`.
        failed: Whether that is a failure.
    """
    _notify(turn, invocation, type, completion_id, completion(completion_id, body), failed=failed)


def send_signal(
    turn: Turn, invocation: Invocation, handle: Handle, body: bytes = VOID, *, failed: bool = False
) -> None:
    """Append a signal, and wake its invocation if that is due."""
    _notify(turn, invocation, MessageType.SIGNAL, handle, signal(handle, body), failed=failed)


def is_decided(turn: Turn, invocation: Invocation, future: messages.Future) -> bool:
    """Tell whether the journal holds enough for a handler to go on that waits for `future`."""
    outcomes = turn.notified(invocation, set(handles_of(future)), invocation.attempt_known_entries)
    return judge(future, outcomes) is not Verdict.PENDING


def handles_of(future: messages.Future) -> Iterator[Handle]:
    """Give all that a tree of futures waits for."""
    stack = [future]
    while stack:
        node = stack.pop()
        yield from node.waiting_completions
        for index in node.waiting_signals:
            yield -index
        yield from node.waiting_named_signals
        stack.extend(node.nested_futures)


def depth_of(future: messages.Future) -> int:
    """Give how deep futures are nested; 1 without nesting."""
    depth = 0
    level = [future]
    while level:
        depth += 1
        level = [child for node in level for child in node.nested_futures]
    return depth


def judge(future: messages.Future, outcomes: Mapping[Handle, bool]) -> Verdict:
    """Evaluate a tree of futures; see rule 3.

    Args:
        future: The tree, at most as deep as protobuf parses.
        outcomes: For each handle that has a notification, whether it failed.
    """
    children = [_leaf(outcomes, handle) for handle in future.waiting_completions]
    children += [_leaf(outcomes, -index) for index in future.waiting_signals]
    children += [_leaf(outcomes, name) for name in future.waiting_named_signals]
    children += [judge(child, outcomes) for child in future.nested_futures]
    return _combine(future.combinator_type, children)


def _leaf(outcomes: Mapping[Handle, bool], handle: Handle) -> Verdict:
    failed = outcomes.get(handle)
    if failed is None:
        return Verdict.PENDING
    return Verdict.FAILED if failed else Verdict.SUCCEEDED


def _combine(combinator: int, children: list[Verdict]) -> Verdict:
    pending = Verdict.PENDING in children
    maybe = Verdict.MAYBE in children
    succeeded = Verdict.SUCCEEDED in children
    failed = Verdict.FAILED in children
    match combinator:
        case 1:  # FIRST_COMPLETED: what it becomes depends on which child was first
            if not (succeeded or failed or maybe):
                return Verdict.PENDING
            if maybe or (succeeded and failed):
                return Verdict.MAYBE
            return Verdict.SUCCEEDED if succeeded else Verdict.FAILED
        case 2:  # ALL_COMPLETED
            return Verdict.PENDING if pending else Verdict.MAYBE if maybe else Verdict.SUCCEEDED
        case 3:  # FIRST_SUCCEEDED_OR_ALL_FAILED
            if succeeded:
                return Verdict.SUCCEEDED
            return Verdict.MAYBE if maybe else Verdict.PENDING if pending else Verdict.FAILED
        case 4:  # ALL_SUCCEEDED_OR_FIRST_FAILED
            if failed:
                return Verdict.FAILED
            return Verdict.MAYBE if maybe else Verdict.PENDING if pending else Verdict.SUCCEEDED
        case _:  # UNKNOWN, and combinators of later versions
            return Verdict.MAYBE if succeeded or failed or maybe else Verdict.PENDING


def _notify(turn: Turn, invocation: Invocation, type: int, handle: Handle, payload: bytes, *, failed: bool) -> None:
    match invocation.status:
        case Status.RUNNING:
            turn.append(invocation, type, payload, handle, failed)
        case Status.SUSPENDED:
            turn.append(invocation, type, payload, handle, failed)
            _resume_if_decided(turn, invocation, handle)
        case Status.BACKING_OFF | Status.PAUSED:
            turn.append(invocation, type, payload, handle, failed)
            if handle == _CANCEL:
                turn.tx.delete_timer(invocation.id, TimerKind.RETRY)
                if invocation.status is Status.PAUSED:
                    invocation.retry_count = 0
                turn.activate(invocation)
        case Status.SCHEDULED | Status.INBOXED | Status.COMPLETED:
            pass


def _resume_if_decided(turn: Turn, invocation: Invocation, handle: Handle) -> None:
    if invocation.suspended_on is not None:
        future = messages.Future.FromString(invocation.suspended_on)
        if handle not in set(handles_of(future)) or not is_decided(turn, invocation, future):
            return
    invocation.retry_count = 0
    turn.activate(invocation)
