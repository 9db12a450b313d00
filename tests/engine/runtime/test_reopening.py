"""Streams that a service refuses before it has done anything, and attempts that are to leave before they begin."""

from __future__ import annotations

import asyncio

import pytest

from durably import ManualClock
from durably.engine.actions import HalfClose, StartAttempt
from durably.engine.crew import Crew
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted
from durably.engine.transport.contract import TransportError
from tests.engine.runtime.conftest import eventually
from tests.engine.runtime.streams import END, INPUT, RUN, START, Surroundings, crew_of, opened, over, plan


@pytest.fixture
async def around(clock: ManualClock) -> Surroundings:
    """Give a crew of at most two, and its surroundings."""
    return Surroundings(clock, Crew(clock, 2))


async def test_a_refused_stream_is_opened_again(around: Surroundings):
    """A service that took nothing gets the attempt once more, with the journal as it is then, and nobody notices."""
    stream = await opened(around)
    around.planned = plan(frames=((START, 0, b"again"), (INPUT, 0, b"")))
    stream.end(TransportError("going away", is_refused=True))
    await eventually(lambda: len(around.streams) == 2 and around.streams[1].sent)
    assert around.streams[1].sent[0] == (START, 0, b"again")
    around.streams[1].answer(END)
    around.streams[1].end()
    await over(around)
    assert around.kinds == [END]
    assert not any(isinstance(event, AttemptEnded) for event in around.reported)


async def test_a_refusal_after_an_answer_is_a_failure(around: Surroundings):
    """A service that has sent something has done something: its attempt is not opened again in secret."""
    stream = await opened(around)
    stream.answer(RUN)
    await asyncio.sleep(0.001)
    stream.end(TransportError("going away", is_refused=True))
    await over(around)
    assert len(around.streams) == 1
    assert [type(event) for event in around.reported] == [AttemptStarted, AttemptFrames, AttemptEnded]


async def test_a_request_to_leave_outlives_a_refusal(around: Surroundings):
    """An attempt that was asked to suspend is asked again on its next stream."""
    stream = await opened(around)
    crew_of(around).half_close(HalfClose("inv_1", 1))
    await eventually(lambda: stream.is_half_closed)
    stream.end(TransportError("going away", is_refused=True))
    await eventually(lambda: len(around.streams) == 2 and around.streams[1].is_half_closed)
    around.streams[1].answer(END)
    around.streams[1].end()
    await over(around)


async def test_a_request_to_leave_comes_before_the_stream(around: Surroundings):
    """An attempt that is asked to suspend while it opens does so with its first wait."""
    crew_of(around).start(StartAttempt("inv_1", 1, plan()))
    crew_of(around).half_close(HalfClose("inv_1", 1))
    await eventually(lambda: around.streams and around.streams[0].is_half_closed)
    around.streams[0].answer(END)
    around.streams[0].end()
    await over(around)


async def test_a_service_that_always_refuses_fails_the_attempt(around: Surroundings):
    """After a few streams the attempt fails, once, and the retry policy decides."""
    await opened(around)
    for number in range(4):
        await eventually(lambda number=number: len(around.streams) == number + 1 and around.streams[number].sent)
        around.streams[number].end(TransportError("going away", is_refused=True))
    await over(around)
    assert len(around.streams) == 4
    assert [type(event) for event in around.reported] == [AttemptEnded]
