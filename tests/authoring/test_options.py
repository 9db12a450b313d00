"""Options are checked where they are written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import durably
from durably.authoring.options import HandlerOptions, InvocationRetryPolicy, preload
from durably.errors import ConfigurationError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inactivity_timeout": 5}, "inactivity_timeout must be a timedelta, not 5"),
        ({"abort_timeout": timedelta(seconds=-1)}, "abort_timeout cannot be negative"),
        ({"journal_retention": "1d"}, "journal_retention must be a timedelta"),
        ({"idempotency_retention": 1.5}, "idempotency_retention must be a timedelta"),
        ({"workflow_retention": timedelta(-1)}, "workflow_retention cannot be negative"),
        ({"enable_lazy_state": True, "state_preload": False}, "Use state_preload alone"),
        ({"metadata": {"team": 3}}, "'team' is 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_no_runtime_obeys_are_refused(options: dict[str, Any], message: str) -> None:
    """A wrong unit, a negative duration or two options that contradict each other are refused by name."""
    with pytest.raises(ConfigurationError, match=message):
        HandlerOptions(**options)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"initial_interval": 1}, "initial_interval must be a timedelta"),
        ({"max_interval": timedelta(-1)}, "max_interval cannot be negative"),
        ({"exponentiation_factor": 0.5}, "exponentiation_factor must be 1 or more"),
        ({"exponentiation_factor": float("nan")}, "exponentiation_factor must be 1 or more"),
        ({"max_attempts": 0}, "max_attempts must be 1 or more.*retry for ever"),
        ({"on_max_attempts": "stop"}, "'pause' or 'kill'"),
    ],
    ids=["interval", "longest", "factor", "nan", "attempts", "then"],
)
def test_retry_policies_that_no_runtime_obeys_are_refused(policy: dict[str, Any], message: str) -> None:
    """The same holds for retry policies."""
    with pytest.raises(ConfigurationError, match=message):
        InvocationRetryPolicy(**policy)


@pytest.mark.parametrize(
    ("options", "lazy", "keys"),
    [
        ({}, None, None),
        ({"enable_lazy_state": True}, True, None),
        ({"enable_lazy_state": False}, False, None),
        ({"state_preload": True}, False, None),
        ({"state_preload": False}, True, None),
        ({"state_preload": ("a", "b")}, True, ("a", "b")),
        ({"state_preload": ()}, True, None),
    ],
    ids=[f"case {number}" for number in range(7)],
)
def test_both_forms_of_preloading(options: dict[str, Any], lazy: bool | None, keys: tuple[str, ...] | None) -> None:
    """`state_preload` and the older `enable_lazy_state` come to the same two values of the manifest."""
    found = HandlerOptions(**options)

    assert (found.lazy_state, found.eager_state_keys) == (lazy, keys)


def test_lists_are_copied() -> None:
    """Changing the list of keys or of context managers after registration changes nothing."""
    keys = ["a"]
    cart = durably.VirtualObject("Cart", state_preload=keys)
    keys.append("b")

    assert cart.options.eager_state_keys == ("a",)
    assert preload(True) is True
