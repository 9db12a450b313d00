"""Random handlers, played on this machine and on the peer's core in lockstep: first run, every replay, suspended."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from durably.protocol.versions import ProtocolVersion
from tests.differential.lockstep import Lockstep, play_to_the_end
from tests.machine.model import Model
from tests.machine.programs import Program, programs
from tests.machine.wire import VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@given(program=programs())
@settings(max_examples=60)
def test_random_programs_run_alike(version: ProtocolVersion, program: Program):
    """Streaming and request-response, to the end and cut off after every journal entry, the frames are the same."""
    journals = [play_to_the_end(program, version, eof=eof) for eof in (False, True)]
    for journal in journals:
        for cut in range(1, len(journal) + 1):
            Lockstep(program, Model(program, version, journal[:cut]), eof=bool(cut % 2)).play()
