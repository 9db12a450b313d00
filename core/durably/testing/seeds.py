"""The seed of Python's `random` for the time of a test.

Owns its return to what it was: a harness that changes the seed between attempts must not change it for other tests.
"""

from __future__ import annotations

import random
from types import TracebackType
from typing import Any

__all__ = ["RandomSeed"]


class RandomSeed:
    """A context manager around what changes the seed."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._state: Any = None

    def __enter__(self) -> None:
        """Keep the state of the generator."""
        self._state = random.getstate()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Set it back."""
        random.setstate(self._state)
