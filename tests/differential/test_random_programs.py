"""Random handlers, played on this machine and on the peer's core in lockstep: first run, every replay, suspended."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durably.protocol.versions import ProtocolVersion
from tests.differential.lockstep import Lockstep, play_to_the_end
from tests.machine.model import Model
from tests.machine.programs import Program, edits, programs
from tests.machine.wire import VERSIONS, Entry


@pytest.mark.parametrize("version", VERSIONS)
@given(program=programs())
@settings(max_examples=60)
def test_random_programs_run_alike(version: ProtocolVersion, program: Program):
    """Streaming and request-response, to the end and cut off after every journal entry, the frames are the same."""
    journals = [play_to_the_end(program, version, eof=eof) for eof in (False, True)]
    for journal in journals:
        for cut in range(1, len(journal) + 1):
            Lockstep(program, Model(program, version, journal[:cut]), eof=bool(cut % 2)).play()


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@settings(max_examples=150)
def test_changed_programs_are_refused_alike(version: ProtocolVersion, data: st.DataObject):
    """A handler that was edited meets its old journal: both accept it, or both fail with the same code and command."""
    program = data.draw(programs())
    journal = play_to_the_end(program, version, eof=False)
    edited = data.draw(edits(program))
    Lockstep(edited, Model(edited, version, journal), eof=data.draw(st.booleans())).play()


@st.composite
def damages(draw: st.DrawFn, journal: list[Entry]) -> list[Entry]:
    """Draw what a broken runtime could make of a journal: entries moved, doubled, dropped."""
    damaged = list(journal)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(1, len(damaged)))
        entry = damaged[at - 1]
        match draw(st.sampled_from(["move", "double", "drop"])):
            case "move":
                damaged.insert(draw(st.integers(0, len(damaged) - 1)), damaged.pop(at - 1))
            case "double":
                damaged.insert(draw(st.integers(0, len(damaged))), entry)
            case _ if len(damaged) > 1:
                del damaged[at - 1]
            case _:
                pass
    return damaged


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@settings(max_examples=150)
def test_damaged_journals_are_refused_alike(version: ProtocolVersion, data: st.DataObject):
    """A journal with entries moved, doubled or lost: both go on alike, or both fail with the same code and command."""
    program = data.draw(programs())
    journal = data.draw(damages(play_to_the_end(program, version, eof=False)))
    Lockstep(program, Model(program, version, journal), eof=data.draw(st.booleans())).play()
