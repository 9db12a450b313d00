"""What handlers do to the outside world, written down so that a test can compare.

Owns the record: which effect, from which line, in a step or outside of one. A stand-in for a payment provider or a mail
server calls `record`, or is made with `recording`; crash-everywhere then finds what happened too often or never.

    effects = Effects()
    charge = effects.recording("charge", lambda card: "receipt-1")
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from durably.authoring.current import current_attempt, in_step
from durably.authoring.location import caller_location
from durably.authoring.runs import is_coroutine_action

__all__ = ["Effect", "Effects"]

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that happened once.

    Attributes:
        name: What it is.
        details: With what.
        key: By which the outside world recognizes a repetition, or None.
        location: `file:line in function`, or None.
        is_in_step: Whether it happened in a durable step.
        is_in_handler: Whether it happened in a handler at all.
    """

    name: str
    details: str
    key: str | None
    location: str | None
    is_in_step: bool
    is_in_handler: bool

    @property
    def identity(self) -> tuple[str, str]:
        """What two executions of the same effect have in common."""
        return self.name, self.details if self.key is None else f"key {self.key}"


class Effects:
    """A record of effects; for any thread."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._seen: list[Effect] = []

    def record(self, name: str, *details: object, key: str | None = None) -> int:
        """Write down that something happened.

        Args:
            name: What.
            details: With what; compared by their `repr`.
            key: The idempotency key that the outside world was given: with one, a repetition has no effect.

        Returns:
            How often this name was recorded, this time included.
        """
        attempt = current_attempt.get()
        effect = Effect(
            name,
            ", ".join(map(repr, details)),
            key,
            caller_location(),
            is_in_step=in_step.get(),
            is_in_handler=attempt is not None,
        )
        with self._lock:
            self._seen.append(effect)
            return sum(each.name == name for each in self._seen)

    def recording(self, name: str, action: Callable[ParamsT, ResultT]) -> Callable[ParamsT, ResultT]:
        """Give `action` with a record of each of its calls and their arguments."""
        if is_coroutine_action(action):

            @functools.wraps(action)
            async def recorded_later(*args: Any, **kwargs: Any) -> Any:
                self.record(name, *args, *kwargs.items())
                result: Any = action(*args, **kwargs)
                return await result

            return cast("Callable[ParamsT, ResultT]", recorded_later)

        @functools.wraps(action)
        def recorded(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
            self.record(name, *args, *kwargs.items())
            return action(*args, **kwargs)

        return recorded

    @property
    def all(self) -> list[Effect]:
        """What happened, oldest first."""
        with self._lock:
            return list(self._seen)

    def counts(self) -> Counter[tuple[str, str]]:
        """Count effects as the outside world does: those with the same key once."""
        counted: Counter[tuple[str, str]] = Counter()
        keys: set[tuple[str, str]] = set()
        for effect in self.all:
            if effect.key is None or effect.identity not in keys:
                counted[effect.identity] += 1
            keys.add(effect.identity)
        return counted

    def named(self, name: str) -> list[Effect]:
        """Give those of one name, oldest first."""
        return [effect for effect in self.all if effect.name == name]

    def extend(self, effects: Iterable[Effect]) -> None:
        """Add what was recorded elsewhere."""
        with self._lock:
            self._seen.extend(effects)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._seen.clear()
