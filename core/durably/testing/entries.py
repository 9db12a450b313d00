"""The journal entries of a test, as they pass between the engine and the application.

Owns their names: which invocation, which entry, what it is for people, and where in the handler it comes from; and the
points at which a crash can be put.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from durably.errors import RemoteProtocolError
from durably.machine.mismatches import describe
from durably.protocol import messages
from durably.protocol.messages import CLASS_OF, MessageType, is_command

__all__ = ["CrashPoint", "EntryLog", "Moment", "SeenEntry", "shortened"]


class Moment(enum.Enum):
    """When a connection is lost, relative to a journal entry."""

    BEFORE = "before it was stored"
    AFTER = "after it was stored"


@dataclass(frozen=True, slots=True)
class SeenEntry:
    """One entry of one invocation.

    Attributes:
        target: `service/handler`.
        ordinal: Which invocation of this target, from 1.
        index: Which entry of its journal, from 0; Input is 0.
        what: For people, as `run 'charge'`.
        location: `file:line in function` of the handler's call, or None.
        may_be_lost: Whether the application wrote it, so that it may be lost on its way to the engine.
    """

    target: str
    ordinal: int
    index: int
    what: str
    location: str | None
    may_be_lost: bool


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where the connection between the engine and the application is lost.

    Attributes:
        entry: The entry it is next to.
        moment: Before or after.
    """

    entry: SeenEntry
    moment: Moment

    def matches(self, target: str, ordinal: int, index: int) -> bool:
        """Tell whether an entry is this one, or one that came in its place."""
        entry = self.entry
        return entry.target == target and entry.ordinal == ordinal and index >= entry.index

    def __str__(self) -> str:
        entry = self.entry
        which = f"{entry.target} (invocation {entry.ordinal})"
        place = f" at {shortened(entry.location)}" if entry.location else ""
        return f"{which}, entry {entry.index}, {entry.what}{place}, {self.moment.value}"


@dataclass(slots=True)
class EntryLog:
    """The entries of one invocation.

    Attributes:
        target: `service/handler`.
        ordinal: Which invocation of this target, from 1.
        invocation_id: Its id.
        attempts: How many attempts there were.
        commands: How many commands were written.
        entries: Those seen when they were new, oldest first.
        last_index: Of the newest entry.
    """

    target: str
    ordinal: int
    invocation_id: str
    attempts: int = 0
    commands: int = 1
    entries: list[SeenEntry] = field(default_factory=list[SeenEntry])
    last_index: int = 0
    _by_completion: dict[int, tuple[int, str]] = field(default_factory=dict[int, tuple[int, str]])

    def name_of(self, kind: int, payload: bytes, command_index: int) -> tuple[str, int | None]:
        """Say what an entry is, and which command it belongs to."""
        try:
            message: Any = messages.parse(CLASS_OF[kind], payload)
        except (KeyError, RemoteProtocolError):
            return f"entry of type {kind:#06x}", None
        if is_command(kind):
            what = describe(kind, message)
            for name in ("result_completion_id", "invocation_id_notification_idx"):
                if (completion := getattr(message, name, 0)) and completion not in self._by_completion:
                    self._by_completion[completion] = (command_index, what)
            return what, command_index
        is_proposal = kind == MessageType.PROPOSE_RUN_COMPLETION
        completion = message.result_completion_id if is_proposal else _completion(message)
        index, what = self._by_completion.get(completion, (None, "a signal"))
        return f"the result of {what}", index


def _completion(message: Any) -> int:
    return int(getattr(message, "completion_id", 0) or 0)


def shortened(location: str | None) -> str:
    """Give a location as it reads best in a report; it stays clickable."""
    return location or "an unknown place"
