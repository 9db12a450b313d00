"""`OPTIONS` of the backend: `TASKS = {"default": {"BACKEND": …, "OPTIONS": {"max_attempts": 5}}}`.

Owns their names, defaults and bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

__all__ = ["TaskOptions", "read_options"]

_ZERO: Final = timedelta(0)
_MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of one backend.

    Attributes:
        database: Alias of the database with the tasks' rows; the transaction that enqueues is one of this database.
        max_attempts: How often a task is run, the first time included, before what it raised makes it FAILED; at
            least 1. Executions that a crash ended do not count.
        first_pause: Between the first attempt and the second; each further pause is twice the one before.
        longest_pause: Bound of the pauses.
        retention: How long results are kept after the end; None for ever.
        timeout: How long one execution may take before the runtime gives it up and begins another. Code that still
            runs is not stopped by that.
    """

    database: str = DEFAULT_DB_ALIAS
    max_attempts: int = 1
    first_pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(minutes=5)
    retention: timedelta | None = timedelta(days=7)
    timeout: timedelta = timedelta(days=1)

    def pause_after(self, number: int) -> timedelta:
        """Give the pause between attempt `number` (from 1) and the next; the same each time it is asked for."""
        return min(self.first_pause * (1 << min(number - 1, _MAX_DOUBLINGS)), self.longest_pause)


def read_options(alias: str, given: Mapping[str, Any]) -> TaskOptions:
    """Read the options of the backend `alias`.

    Raises:
        ImproperlyConfigured: One is unknown or cannot work; names it.
    """
    known = [field.name for field in fields(TaskOptions)]
    for name, value in given.items():
        where = f"TASKS[{alias!r}]['OPTIONS'][{name!r}]"
        if name not in known:
            raise ImproperlyConfigured(f"{where} is no option. Options are: {', '.join(known)}.")
        wrong = _problem(name, value)
        if wrong is not None:
            raise ImproperlyConfigured(f"{where} must be {wrong}, not {value!r}.")
    return TaskOptions(**given)


def _problem(name: str, value: Any) -> str | None:
    """Say what a value should have been; None where it is fine."""
    match name:
        case "database":
            return None if isinstance(value, str) else "the alias of a database"
        case "max_attempts":
            is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            return None if is_count else "a number from 1"
        case "retention":
            is_time = value is None or (isinstance(value, timedelta) and value > _ZERO)
            return None if is_time else "a timedelta above zero, or None"
        case "timeout":
            return None if isinstance(value, timedelta) and value > _ZERO else "a timedelta above zero"
        case _:
            return None if isinstance(value, timedelta) and value >= _ZERO else "a timedelta of zero or more"
