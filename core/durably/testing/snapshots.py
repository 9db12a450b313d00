"""What one run of a scenario came to.

Owns the comparison of two runs: results, state, effects; and what was wrong within one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from durably.engine.query.runner import run_query
from durably.engine.store.contract import Reader
from durably.testing.entries import EntryLog, SeenEntry
from durably.testing.journals import RecordedJournal, journal_of
from durably.testing.tap import AttemptFailed, Tap
from durably.testing.watching import Swallowed, Watch

if TYPE_CHECKING:
    from durably.authoring.endpoint import Endpoint
    from durably.authoring.handlers import Handler
    from durably.engine.engine import Engine

__all__ = ["Snapshot", "take_snapshot"]

_STATE: str = "SELECT service_name, service_key, key, value FROM state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One harness at its end.

    Attributes:
        results: By target and ordinal: what each invocation came to, None while it is not over.
        state: By service, key and name: the stored bytes, in hexadecimal.
        failures: Attempts that ended with an error.
        swallowed: Handlers that caught the signal that ended their attempt.
        entries: Every journal entry, by invocation.
        journals: The journals of all invocations.
        handlers: What ran, where it is known.
    """

    results: Mapping[tuple[str, int], str | None]
    state: Mapping[tuple[str, str, str], str]
    failures: tuple[AttemptFailed, ...] = ()
    swallowed: tuple[Swallowed, ...] = ()
    entries: tuple[SeenEntry, ...] = ()
    journals: tuple[RecordedJournal, ...] = field(default=(), repr=False)
    handlers: tuple[Handler, ...] = field(default=(), repr=False)

    def differences(self, other: Snapshot) -> list[str]:
        """Say, for people, in what `other` differs from this one."""
        found: list[str] = []
        for (target, ordinal), result in self.results.items():
            there = other.results.get((target, ordinal))
            if there != result:
                found.append(f"{target} (invocation {ordinal}) came to {_shown(there)}, and to {_shown(result)} before")
        found += [
            f"{target} was invoked once more (invocation {ordinal})"
            for target, ordinal in other.results
            if (target, ordinal) not in self.results
        ]
        for place in sorted({*self.state, *other.state}):
            before, after = self.state.get(place), other.state.get(place)
            if before != after:
                service, key, name = place
                found.append(
                    f"state {name!r} of {service}[{key!r}] is {_value(after)}, and was {_value(before)} before"
                )
        return found


async def take_snapshot(
    engine: Engine, tap: Tap, watch: Watch, endpoint: Endpoint | None, *, with_journals: bool
) -> Snapshot:
    """Read what is to be compared.

    Args:
        engine: Still running.
        tap: Saw the attempts.
        watch: Saw the handlers.
        endpoint: The handlers, where they are known.
        with_journals: Whether to read the journals too.
    """
    logs = list(tap.logs.values())
    services = () if endpoint is None else endpoint.services.values()

    def read(reader: Reader) -> Snapshot:
        rows: list[dict[str, Any]] = json.loads(run_query(reader, _STATE, now_ms=engine.now_ms()))["rows"]
        return Snapshot(
            results={(log.target, log.ordinal): _result(reader, log) for log in logs},
            state={(row["service_name"], row["service_key"], row["key"]): row.get("value", "") for row in rows},
            failures=tuple(tap.failures),
            swallowed=tuple(watch.swallowed_by),
            entries=tuple(entry for log in logs for entry in log.entries),
            journals=_journals(reader, logs) if with_journals else (),
            handlers=tuple(handler for service in services for handler in service.handlers.values()),
        )

    return await engine.read(read)


def _journals(reader: Reader, logs: list[EntryLog]) -> tuple[RecordedJournal, ...]:
    found = (journal_of(reader, log.invocation_id) for log in logs)
    return tuple(journal for journal in found if journal is not None)


def _result(reader: Reader, log: EntryLog) -> str | None:
    invocation = reader.invocation(log.invocation_id)
    if invocation is None or invocation.completed_at is None:
        return None
    result: Any = reader.result(log.invocation_id)
    if isinstance(result, bytes):
        return result.decode(errors="backslashreplace")
    return f"failure {result.code}: {result.message}"


def _shown(result: str | None) -> str:
    if result is None:
        return "no end"
    return result if len(result) <= 120 else result[:120] + "…"


def _value(stored: str | None) -> str:
    return "not set" if stored is None else _shown(bytes.fromhex(stored).decode(errors="backslashreplace"))
