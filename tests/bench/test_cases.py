"""The benchmarks measure what they say: every case ends well on every side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from bench import frames, machine
from bench.cpu import CASES
from bench.driver import Exchange, invoke, pieces, scope_of
from bench.handlers import SIDES, app_of
from bench.report import Claim


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo that the benchmarks switch logging off."""
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:restate")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.handler != "plain_steps"])
def test_a_case_ends_well(name: str, side: str):
    """An invocation of each case ends with End; the driver refuses anything else."""
    case = CASES[name]
    asyncio.run(invoke(app_of(side), case.handler, case.journal(), 1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:restate")
@pytest.mark.parametrize("side", ["durably", "restate"])
def test_both_sides_do_the_same(side: str):
    """A hundred live steps are a hundred runs and proposals, an output and an end: nobody saves messages."""
    exchange = Exchange(pieces(frames.journal(b"100")))
    asyncio.run(app_of(side)(scope_of("steps"), exchange.receive, exchange.send))
    assert exchange.terminal == frames.END
    assert exchange.written == 202


@pytest.mark.parametrize("run", [machine.attempt, machine.peer_attempt])
def test_the_machine_is_measured_whole(run: machine.Run):
    """Live and replayed attempts of both cores get to their end."""
    run(frames.journal(b"3"), 3)
    run(frames.journal(b"3", 3), 3)


def test_a_claim_is_kept_up_to_its_target():
    """The target itself is still allowed; without one there is nothing to miss."""
    assert Claim("a", "", ratio=0.5, target=0.5).is_kept
    assert not Claim("a", "", ratio=0.51, target=0.5).is_kept
    assert Claim("a", "", ratio=9.0).is_kept
