"""Counting in periods."""

from __future__ import annotations

from durably.engine.transport.budgets import Budget


def test_a_period_allows_its_number():
    """The limit is the last one that is allowed, and a new period begins afresh."""
    budget = Budget(2, 10.0, 0.0)
    assert [budget.spend(now) for now in (0.0, 5.0, 9.9)] == [True, True, False]
    assert [budget.spend(now) for now in (10.0, 11.0, 12.0)] == [True, True, False]
