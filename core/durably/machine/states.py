"""The states of an attempt and the only moves between them.

Rule 1: everything that decides which messages and calls are allowed is one of the states below;
        no other flag forbids a message.
Rule 2: a state changes only by `advance()`, which looks the move up in `TRANSITIONS`.
Rule 3: a closed state (ENDED, SUSPENDED, FAILED) is final. Its closing message was written, nothing
        may be written after it, and what still arrives is ignored.

What each state allows:

    state            incoming                               calls of the handler
    ---------------  -------------------------------------  ---------------------------------------
    WAITING_START    Start                                  none (571)
    WAITING_ENTRIES  commands, notifications; counted       none (571)
    REPLAYING        notifications                          compared with recorded commands
    PROCESSING       notifications, acks of proposed steps  written as new commands; End, Suspension
    ENDED …          anything, ignored                      none (598, nothing is written)

The handler starts when all known entries have arrived (REPLAYING). It leaves REPLAYING when the last
recorded *command* was taken: recorded notifications that nobody has read yet are then read in
PROCESSING, one at a time and in their order, exactly as on the first execution. Input is always the
first recorded command, so that a first attempt is in PROCESSING once its input was taken.

The end of the incoming stream is not a state: before REPLAYING it is an error, afterwards it only
means that waiting must become a suspension.

Source: service-invocation-protocol.md, "Stream state machine".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

__all__ = ["CLOSED", "EXECUTING", "TRANSITIONS", "Event", "State", "advance"]


class State(enum.Enum):
    """Where an attempt is."""

    # Members are compared by identity and looked up by it; the inherited hash is several times slower.
    if not TYPE_CHECKING:  # pragma: no branch  # type checkers know the inherited one
        __hash__ = object.__hash__

    WAITING_START = "waiting for Start"
    WAITING_ENTRIES = "waiting for the recorded journal"
    REPLAYING = "replaying"
    PROCESSING = "processing"
    ENDED = "ended"
    SUSPENDED = "suspended"
    FAILED = "failed"


class Event(enum.Enum):
    """What moves an attempt to another state."""

    if not TYPE_CHECKING:  # pragma: no branch  # type checkers know the inherited one
        __hash__ = object.__hash__

    START_RECEIVED = enum.auto()
    LAST_ENTRY_RECEIVED = enum.auto()
    LAST_COMMAND_TAKEN = enum.auto()
    END_WRITTEN = enum.auto()
    SUSPENSION_WRITTEN = enum.auto()
    ERROR_WRITTEN = enum.auto()


TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = MappingProxyType(
    {
        State.WAITING_START: {
            Event.START_RECEIVED: State.WAITING_ENTRIES,
            Event.ERROR_WRITTEN: State.FAILED,
        },
        State.WAITING_ENTRIES: {
            Event.LAST_ENTRY_RECEIVED: State.REPLAYING,
            Event.ERROR_WRITTEN: State.FAILED,
        },
        State.REPLAYING: {
            Event.LAST_COMMAND_TAKEN: State.PROCESSING,
            Event.ERROR_WRITTEN: State.FAILED,
        },
        State.PROCESSING: {
            Event.END_WRITTEN: State.ENDED,
            Event.SUSPENSION_WRITTEN: State.SUSPENDED,
            Event.ERROR_WRITTEN: State.FAILED,
        },
        State.ENDED: {},
        State.SUSPENDED: {},
        State.FAILED: {},
    }
)

CLOSED: Final = frozenset(state for state, moves in TRANSITIONS.items() if not moves)
"""The final states."""

EXECUTING: Final = frozenset({State.REPLAYING, State.PROCESSING})
"""The states in which the handler may call the machine."""


def advance(state: State, event: Event) -> State:
    """Give the state after `event`.

    Raises:
        KeyError: The table has no such move, which means that the machine itself is wrong.
    """
    return TRANSITIONS[state][event]
