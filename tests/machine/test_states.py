"""The transition table: what it allows, and that nothing else is possible."""

from __future__ import annotations

import pytest

from durably.machine.states import CLOSED, EXECUTING, TRANSITIONS, Event, State, advance


def test_every_state_has_a_row():
    """No state can be reached that the table does not know."""
    assert set(TRANSITIONS) == set(State)
    assert {target for moves in TRANSITIONS.values() for target in moves.values()} <= set(State)


def test_closed_states_are_final():
    """The three ways to end allow no further move."""
    assert {State.ENDED, State.SUSPENDED, State.FAILED} == CLOSED
    assert not CLOSED & EXECUTING


def test_every_open_state_can_fail():
    """An error can end the attempt at any time."""
    assert all(advance(state, Event.ERROR_WRITTEN) is State.FAILED for state in State if state not in CLOSED)


@pytest.mark.parametrize("state", [state for state in State if state is not State.PROCESSING])
def test_only_processing_can_end_or_suspend(state: State):
    """An attempt ends or suspends only after its replay; anything else is a mistake of the machine itself."""
    for event in (Event.END_WRITTEN, Event.SUSPENSION_WRITTEN):
        with pytest.raises(KeyError):
            advance(state, event)
