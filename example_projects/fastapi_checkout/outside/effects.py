"""What happened to the world: one line for each effect, under the key that makes it happen once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Effect", "EffectsLog"]


@dataclass(frozen=True, slots=True)
class Effect:
    """A line of the log.

    Attributes:
        kind: `payment`, `refund` or `mail`.
        key: The idempotency key, or the id of the mail.
        about: The card, the payment or the recipient and subject.
        cents: What it moved.
        is_repeat: The key was known: nothing happened this time.
    """

    kind: str
    key: str
    about: str
    cents: int = 0
    is_repeat: bool = False


class EffectsLog:
    """A file of effects, which is flushed to the disk line by line."""

    def __init__(self, path: Path) -> None:
        """Open the log, and remember the keys that are in it."""
        self._path = path
        self._known = (
            {(effect.kind, effect.key) for effect in self.read()} if path.is_file() else set[tuple[str, str]]()
        )

    def add(self, kind: str, key: str, about: str, cents: int = 0) -> bool:
        """Write down that something was asked for; tell whether it is new and so has happened."""
        is_new = (kind, key) not in self._known
        self._known.add((kind, key))
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(Effect(kind, key, about, cents, not is_new))) + "\n")
            log.flush()
            os.fsync(log.fileno())
        return is_new

    def read(self) -> Iterator[Effect]:
        """Give what was written so far, in order."""
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                yield Effect(**json.loads(line))
