"""Named points at which a test makes the engine fail.

Owns their names and the one hook. Code that passes a point asks the hook if there is one; outside of tests there is
none, and the point costs one look at a module variable.

    if faults.hook is not None:
        faults.hook(FaultPoint.COMMIT)

A hook may raise, kill the process, block or return. Where it raises, the engine behaves as if what follows the point
had failed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["FaultPoint", "hook", "installed"]


class FaultPoint(enum.Enum):
    """Where a fault can be put in."""

    BEGIN = "begin"
    """Before a batch of events is applied."""
    STATEMENT = "statement"
    """After each statement that writes to SQLite; what it wrote is not stored yet."""
    COMMIT = "commit"
    """Before the commit of a batch; nothing of it is stored."""
    ACKNOWLEDGE = "acknowledge"
    """After the commit, before anything of the batch is answered, sent or shown."""
    ACKNOWLEDGED = "acknowledged"
    """After all of a batch was answered, sent and shown."""
    WAKE = "wake"
    """Before an attempt is started for an invocation that has run before."""
    RESUME = "resume"
    """Before an attempt is sent to its service."""
    TIMER_FIRE = "timer_fire"
    """Before due timers are handled."""
    LOCK_HANDOVER = "lock_handover"
    """Before this process begins to drive a file."""


hook: Callable[[FaultPoint], None] | None = None
"""What is called at each point; None in production. Called on the loop's and on the writer's thread."""


@contextmanager
def installed(at_point: Callable[[FaultPoint], None]) -> Generator[None]:
    """Call `at_point` at every point for the time of a `with` block, on all engines of this process."""
    global hook
    before = hook
    hook = at_point
    try:
        yield
    finally:
        hook = before
