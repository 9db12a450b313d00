"""What the admin pages can do to invocations: the words, the permissions, and when each makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from durably.operations.invocations import Operation, Status

__all__ = ["ACTIONS", "Action", "actions_for"]

_COMPLETED: Final = frozenset((Status.COMPLETED,))
_OPEN: Final = frozenset(Status) - _COMPLETED
_HELD: Final = frozenset((Status.PAUSED, Status.BACKING_OFF))
_STOPPABLE: Final = frozenset((Status.RUNNING, Status.BACKING_OFF, Status.SUSPENDED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action.

    Attributes:
        name: In forms.
        operation: What is asked of the runtime.
        label: On buttons.
        done: After it, as `Cancelled`.
        consequence: What it does, for the page that asks whether it should be done; empty where nobody is asked.
        is_destructive: Whether it cannot be undone.
        statuses: Where it makes sense.
    """

    name: str
    operation: Operation
    label: str
    done: str
    consequence: str = ""
    is_destructive: bool = False
    statuses: frozenset[Status]

    @property
    def permission(self) -> str:
        """What somebody must be allowed."""
        return f"durably.{self.name}_invocation"


_ALL: Final = (
    Action(
        name="cancel",
        operation=Operation.CANCEL,
        label="Cancel",
        done="Cancelled",
        consequence="Handlers are told to stop: each may undo what it did, and then ends with 409.",
        is_destructive=True,
        statuses=_OPEN,
    ),
    Action(
        name="kill",
        operation=Operation.KILL,
        label="Kill",
        done="Killed",
        consequence="They end at once, without their handlers: nothing is undone.",
        is_destructive=True,
        statuses=_OPEN,
    ),
    Action(name="pause", operation=Operation.PAUSE, label="Pause", done="Paused", statuses=_STOPPABLE),
    Action(name="resume", operation=Operation.RESUME, label="Resume", done="Resumed", statuses=_HELD),
    Action(
        name="restart",
        operation=Operation.RESTART,
        label="Restart as new",
        done="Restarted",
        consequence="They run again from the beginning, with the same input, as new invocations.",
        statuses=_COMPLETED,
    ),
    Action(
        name="purge",
        operation=Operation.PURGE,
        label="Purge",
        done="Purged",
        consequence="Results and journals are forgotten before their time.",
        is_destructive=True,
        statuses=_COMPLETED,
    ),
)

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType({each.name: each for each in _ALL})
"""By name, in the order of buttons."""


def actions_for(status: str) -> list[Action]:
    """Give the actions that make sense for an invocation in this status."""
    return [each for each in ACTIONS.values() if status in each.statuses]
