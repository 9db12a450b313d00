"""The test kit's benchmark measures what it says, and a claim that is missed is called so."""

from __future__ import annotations

import pytest

from bench import testing, testing_parts


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little."""
    monkeypatch.setattr(testing_parts, "TESTS", 2)
    monkeypatch.setattr(testing_parts, "DAYS", 3)


@pytest.mark.parametrize("part", ["memory", "year", "crashes"])
async def test_a_part_gives_its_figures(part: str):
    """Each part that needs no server gets to its end, and its figures are enough for its claims."""
    figures = await testing_parts.PARTS[part]()
    assert all(value > 0 for value in figures.values())
    assert testing.claims({part: figures})


def test_missed_claims_are_found():
    """Figures on both sides of each target."""
    memory, year = {"ms": 20.0, "first_ms": 400.0}, {"ms": 500.0, "replayed_ms": 9000.0}
    kept = testing.claims({"memory": memory, "server": {"ms": 700.0}, "year": year})
    assert all(claim.is_kept for claim in kept)
    slow = {"memory": {**memory, "ms": 60.0}, "server": {"ms": 700.0}, "year": {**year, "ms": 1500.0}}
    assert [claim.is_kept for claim in testing.claims(slow)] == [False, True, False, False, True]
