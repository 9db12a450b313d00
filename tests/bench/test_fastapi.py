"""The FastAPI benchmark measures what it says, and a claim that is missed is called so."""

from __future__ import annotations

import pytest

from bench import fastapi


def test_the_sides_that_need_no_peer_answer(monkeypatch: pytest.MonkeyPatch):
    """A plain and a durable endpoint give the same answers, one at a time and many at once."""
    for name, value in {"ROUNDS": 1, "CALLS": 10, "THROUGHPUT_SECONDS": 0.05}.items():
        monkeypatch.setattr(fastapi, name, value)
    figures = fastapi.measure_all(["plain", "durably"])
    assert all(value > 0 for side in figures.values() for value in side.values())
    assert len(fastapi.claims(figures)) == 2


def test_what_is_added_is_compared():
    """The ratios are of what durability adds; adding more than the target is a missed claim."""
    figures = {
        "plain": {"latency_ms": 1.0, "per_second": 1000.0},
        "durably": {"latency_ms": 3.0, "per_second": 500.0},
        "dbos": {"latency_ms": 11.0, "per_second": 50.0},
    }
    found = fastapi.claims(figures)
    assert [round(claim.ratio, 3) for claim in found] == [3.0, 2.0, 0.2, 0.053]
    assert all(claim.is_kept for claim in found)
    figures["dbos"]["latency_ms"] = 2.0
    assert not fastapi.claims(figures)[2].is_kept
