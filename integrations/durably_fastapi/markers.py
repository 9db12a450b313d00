"""Where a dependency runs: marks that stand beside `Depends` in an annotation.

    user: Annotated[User, Depends(current_user), Edge]         # once, when the HTTP call arrives
    repo: Annotated[Repository, Depends(repository), PerAttempt]   # on each attempt
    db: Annotated[Session, Depends(get_db), Step]              # inside each `run`, and closed right after it

Owns the three marks, and the mark of dependencies that no handler may take. Without one, `durably_fastapi.dependencies`
decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

__all__ = [
    "Edge",
    "EdgeMark",
    "PerAttempt",
    "PerAttemptMark",
    "Step",
    "StepMark",
    "instead_of",
    "only_outside",
]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_INSTEAD: Final = "__durably_instead__"


@dataclass(frozen=True, slots=True)
class EdgeMark:
    """Runs once, when the HTTP call arrives; its result travels to the attempts as data.

    Attributes:
        identity: From the result to what an idempotency key is scoped by, as JSON-ready data; None takes the whole
            result. Narrow it to what stays the same between two calls of one user, such as the user's id.
    """

    identity: Callable[[Any], Any] | None = None

    def __call__(self, *, identity: Callable[[Any], Any]) -> EdgeMark:
        """Give the mark with an identity: `Edge(identity=lambda user: user.id)`."""
        return EdgeMark(identity)


@dataclass(frozen=True, slots=True)
class PerAttemptMark:
    """Runs on each attempt, where the handler runs. Parts of it that read the HTTP call still run at the edge."""


@dataclass(frozen=True, slots=True)
class StepMark:
    """Opened inside each `run` and closed right after it; outside of steps the parameter stands for nothing."""


Edge: Final = EdgeMark()
"""Run this dependency once, when the HTTP call arrives, and carry its result."""

PerAttempt: Final = PerAttemptMark()
"""Run this dependency on each attempt."""

Step: Final = StepMark()
"""Open this dependency inside each `run`, and close it right after."""


def only_outside(instead: str) -> Callable[[FunctionT], FunctionT]:
    """Keep a dependency out of endpoints and handlers that are durable; `instead` says what to use there."""

    def mark(function: FunctionT) -> FunctionT:
        setattr(function, _INSTEAD, instead)
        return function

    return mark


def instead_of(call: object) -> str | None:
    """Give what to use in the place of a dependency that durable functions may not take; None if they may."""
    instead: str | None = getattr(call, _INSTEAD, None)
    return instead
