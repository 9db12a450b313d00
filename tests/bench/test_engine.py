"""The engine's benchmark measures what it says, and a claim that is missed is called so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import engine, engine_parts


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Measure little, and undo that the benchmarks switch logging off."""
    for name, value in {"ROUND_SECONDS": 0.02, "SUSPENDED": 50, "FINISHED": 20, "CALLS": 10, "SYNCS": 3}.items():
        monkeypatch.setattr(engine_parts, name, value)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", ["durably_steps", "start_up", "suspended_resident", "history", "fdatasync"])
async def test_a_part_gives_its_figures(part: str, tmp_path: Path):
    """Each part that needs no peer gets to its end, and its figures are enough for its claims."""
    figures = await engine_parts.PARTS[part](tmp_path)
    assert figures
    assert all(value > 0 for name, value in figures.items() if name != "bytes")
    engine.claims({part: figures})


def test_missed_claims_are_found():
    """Figures on both sides of each target: more is claimed of the engine than to be as fast as the others."""
    peer = {"1": 100.0, "16": 100.0, "latency_ms": 10.0}
    good = {"1": 500.0, "16": 2500.0, "latency_ms": 1.0}
    others = {"dbos_steps": peer, "restate_steps": peer, "fdatasync": {"appended": 900.0, "overwritten": 9000.0}}
    assert all(claim.is_kept for claim in engine.claims({"durably_steps": good, **others}))
    missed = [claim.what for claim in engine.claims({"durably_steps": peer, **others}) if not claim.is_kept]
    assert missed == [
        "steps, 1 at once, beside DBOS",
        "steps, 16 at once, beside DBOS",
        "steps, 16 at once, beside restate-server",
        "trivial call, beside restate-server",
        "steps, 1 at once, beside an appended page each",
    ]
    rest = {
        "suspended_resident": {"bytes": 9000.0},
        "start_up": {"new_ms": 51.0, "known_ms": 49.0},
        "history": {"full": 89.0, "empty": 100.0},
    }
    assert [claim.is_kept for claim in engine.claims(rest)] == [False, False, True, False]
