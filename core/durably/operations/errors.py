"""How operations fail: refused, not found, or nobody there."""

from __future__ import annotations

from durably.errors import DurablyError

__all__ = ["NotFoundError", "NotReachableError", "OperationError"]


class OperationError(DurablyError):
    """An operation was refused, or failed."""


class NotReachableError(OperationError):
    """The runtime cannot be reached."""


class NotFoundError(OperationError):
    """What was named does not exist."""
