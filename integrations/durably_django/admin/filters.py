"""What the list of invocations is narrowed to, as it stands in the address of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.http import QueryDict

from durably.operations.invocations import Filters, Result, Status

__all__ = ["Choice", "Group", "ListFilters"]

_STATES: Final[dict[str, tuple[str, tuple[Status, ...], Result | None]]] = {
    "open": ("Not completed", tuple(each for each in Status if each is not Status.COMPLETED), None),
    "scheduled": ("Scheduled", (Status.SCHEDULED,), None),
    "pending": ("Pending", (Status.PENDING, Status.READY), None),
    "running": ("Running", (Status.RUNNING,), None),
    "suspended": ("Suspended", (Status.SUSPENDED,), None),
    "backing-off": ("Backing off", (Status.BACKING_OFF,), None),
    "paused": ("Paused", (Status.PAUSED,), None),
    "succeeded": ("Succeeded", (Status.COMPLETED,), Result.SUCCESS),
    "failed": ("Failed", (Status.COMPLETED,), Result.FAILURE),
}
_MOST_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Choice:
    """One link of a filter.

    Attributes:
        label: For people.
        query: Of the address, without the question mark.
        is_selected: Whether it applies.
    """

    label: str
    query: str
    is_selected: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One filter.

    Attributes:
        title: For people.
        choices: The first one excludes nothing.
    """

    title: str
    choices: list[Choice]


class ListFilters:
    """Reads an address; what is unknown there counts as not given."""

    def __init__(self, given: QueryDict) -> None:
        """Read it."""
        state = given.get("status", "")
        self.state: str = state if state in _STATES else ""
        self.service: str = given.get("service", "")[:_MOST_CHARS]
        self.text: str = given.get("q", "").strip()[:_MOST_CHARS]
        self.before: str | None = given.get("before") or None
        self.after: str | None = given.get("after") or None
        _, statuses, result = _STATES.get(self.state, ("", (), None))
        self.filters: Filters = Filters(
            statuses=statuses, result=result, service=self.service or None, text=_sound(self.text) or None
        )
        if self.after is not None:
            self.before = None

    @property
    def has_any(self) -> bool:
        """Whether anything is excluded."""
        return bool(self.state or self.service or self.text)

    @property
    def hidden(self) -> dict[str, str]:
        """What the form of the search carries along."""
        return {name: value for name, value in (("status", self.state), ("service", self.service)) if value}

    def query(self, **changes: str | None) -> str:
        """Write an address with these filters; changes apply to it, and the place in the list is left out."""
        values = {"q": self.text, "status": self.state, "service": self.service, **changes}
        written = QueryDict(mutable=True)
        written.update({name: value for name, value in values.items() if value})
        return written.urlencode()

    def groups(self, services: list[str]) -> list[Group]:
        """Give the filters as links."""
        states = [Choice("All", self.query(status=None), not self.state)]
        states += [Choice(each[0], self.query(status=name), name == self.state) for name, each in _STATES.items()]
        listed = [*services] if not self.service or self.service in services else [self.service, *services]
        by_service = [Choice("All", self.query(service=None), not self.service)]
        by_service += [Choice(each, self.query(service=each), each == self.service) for each in listed]
        return [Group("status", states), Group("service", by_service)]


def _sound(text: str) -> str:
    """Leave out what no runtime takes in a query."""
    return text.replace("\0", "")
