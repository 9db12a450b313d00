"""Requests that an HTTP API of the engine refuses."""

from __future__ import annotations

__all__ = ["RefusedError"]


class RefusedError(Exception):
    """A request that is refused; nothing of it was stored.

    Attributes:
        status: Of the answer.
        message: Text for the caller.
    """

    def __init__(self, status: int, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.status = status
        self.message = message
