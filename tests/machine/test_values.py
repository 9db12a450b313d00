"""Values that pass between the machine and the layer above."""

from __future__ import annotations

import dataclasses

import pytest

from durably.machine import CANCEL, Failure, IdempotentTarget, InvocationInput, WorkflowTarget
from durably.machine.values import FIRST_FREE_SIGNAL


@pytest.mark.parametrize("value", [Failure(409, "no"), WorkflowTarget("W", "k"), IdempotentTarget("S", "h", "i")])
def test_values_cannot_change(value: object):
    """They are frozen, so that a result can be given to several waiters."""
    name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, "other")


def test_reserved_signals_are_not_given_away():
    """CANCEL is one of the sixteen signals that the protocol reserves."""
    assert 0 < -CANCEL < FIRST_FREE_SIGNAL == 17


def test_input_is_a_value():
    """Two inputs with the same content are equal."""
    call = InvocationInput(b"i", "inv", "k", (), b"", 1, None, None, None, 1)
    assert call == call._replace(key="k")
