"""What an HTTP call of a durable endpoint comes to, before a framework writes it.

Owns the three kinds of outcome, and how failures and refusals of the runtime become statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from durably.authoring.handlers import Handler

__all__ = ["INVOCATION_HEADER", "Accepted", "Done", "Failed", "Outcome", "failed", "not_found", "unavailable"]

INVOCATION_HEADER: Final = "x-durably-invocation-id"

_LOWEST_STATUS: Final = 400
_HIGHEST_STATUS: Final = 599
_RETRY_AFTER_S: Final = 1


def _no_headers() -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Done:
    """The invocation has completed.

    Attributes:
        invocation_id: Its id, where it is known.
        body: What the handler returned, as it was journaled; a codec's encoding is undone.
        headers: For the answer, names in lower case.
        handler: Which handler it was; None where this application no longer has it.
    """

    invocation_id: str | None
    body: bytes
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    handler: Handler | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The invocation is stored and goes on: answer 202.

    Attributes:
        invocation_id: Its id.
        location: Path of its result; None where there is none to give.
        headers: For the answer, `location` among them; names in lower case.
        status: `accepted` for a call, `running` for a poll.
        handler: As in `Done`.
    """

    invocation_id: str
    location: str | None
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    status: str = "accepted"
    handler: Handler | None = None

    @property
    def content(self) -> dict[str, str]:
        """The body of the answer, as JSON."""
        return {"invocation_id": self.invocation_id, "status": self.status}


@dataclass(frozen=True, slots=True)
class Failed:
    """The invocation failed for good, or there is none.

    Attributes:
        status: 400 to 599.
        message: For the client.
        metadata: Of the handler's failure; empty unless the handler failed.
        headers: For the answer, names in lower case.
        invocation_id: Where there is one.
        is_of_handler: Whether the handler failed; else the call was refused or could not be made.
        handler: As in `Done`.
    """

    status: int
    message: str
    metadata: Mapping[str, str] = field(default_factory=_no_headers)
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    invocation_id: str | None = None
    is_of_handler: bool = False
    handler: Handler | None = None


Outcome = Done | Accepted | Failed


def failed(
    code: int,
    message: str,
    metadata: Mapping[str, str],
    invocation_id: str | None,
    handler: Handler | None,
) -> Failed:
    """Give the outcome of a handler that failed for good: a status that is one of an error goes out as it is."""
    return Failed(
        code if _LOWEST_STATUS <= code <= _HIGHEST_STATUS else 500,
        message,
        dict(metadata),
        {} if invocation_id is None else {INVOCATION_HEADER: invocation_id},
        invocation_id,
        is_of_handler=True,
        handler=handler,
    )


def unavailable(message: str = "The service cannot take the call at the moment.") -> Failed:
    """Give the outcome of a call that did not reach the runtime, or whose answer did not come back."""
    return Failed(503, message, headers={"retry-after": str(_RETRY_AFTER_S)})


def not_found() -> Failed:
    """Give the one outcome of all results that there are not, that were deleted, or that are not the asker's."""
    return Failed(404, "There is no such result.")
