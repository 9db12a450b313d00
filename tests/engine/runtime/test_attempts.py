"""One attempt and the crew of all: what goes over a stream, in which order, and what is reported of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durably import ManualClock
from durably.engine.actions import Abort, Deliver, HalfClose, StartAttempt
from durably.engine.crew import Crew
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted
from durably.engine.records import ProtocolMode
from durably.engine.transport.contract import FailureKind, TransportError
from tests.engine.runtime.conftest import eventually
from tests.engine.runtime.streams import (
    END,
    INPUT,
    OUTPUT,
    RUN,
    SLEEP_DONE,
    START,
    Surroundings,
    crew_of,
    opened,
    over,
    plan,
)


@pytest.fixture
async def around(clock: ManualClock) -> Surroundings:
    """Give a crew of at most two, and its surroundings."""
    return Surroundings(clock, Crew(clock, 2))


async def test_an_attempt_sends_its_journal_and_reports_the_answer(around: Surroundings):
    """Path, headers and journal go out; messages come back in order, and the stream is ended by both sides."""
    stream = await opened(around)
    assert around.paths == ["/invoke/S/h"]
    assert around.headers[0] == {
        "content-type": "application/vnd.restate.invocation.v6",
        "accept": "application/vnd.restate.invocation.v6",
        "x-restate-invocation-id": "inv_1",
        "x-restate-service-key": "%C3%A4%2F1",
        "authorization": "secret",
    }
    assert [frame[0] for frame in stream.sent] == [START, INPUT]
    assert not stream.is_half_closed
    stream.answer(OUTPUT, END)
    await eventually(lambda: stream.is_half_closed)
    stream.end()
    await over(around)
    assert around.reported == [
        AttemptStarted("inv_1", 1, "test/1"),
        AttemptFrames("inv_1", 1, ((OUTPUT, 0, b""), (END, 0, b""))),
    ]
    assert not stream.is_aborted


@pytest.mark.parametrize("changes", [{"mode": ProtocolMode.REQUEST_RESPONSE}, {"inactivity_timeout_ms": 0}])
async def test_a_request_without_streaming_ends_after_the_journal(around: Surroundings, changes: dict[str, Any]):
    """Where both directions cannot overlap, or are not to, the request ends before anything is answered."""
    stream = await opened(around, **changes)
    await eventually(lambda: stream.is_half_closed)
    crew_of(around).deliver(Deliver("inv_1", 1, ((SLEEP_DONE, 0, b""),), (1,)))
    stream.answer(END)
    stream.end()
    await over(around)
    assert [frame[0] for frame in stream.sent] == [START, INPUT]


async def test_deliveries_go_to_their_attempt_once(around: Surroundings):
    """What the journal held already is not sent again, and what another attempt waits for is not sent here."""
    crew = crew_of(around)
    crew.start(StartAttempt("inv_1", 1, plan()))
    await asyncio.sleep(0)  # it opens
    crew.deliver(Deliver("inv_1", 1, ((SLEEP_DONE, 0, b"old"), (SLEEP_DONE, 0, b"new")), (0, 1)))
    crew.deliver(Deliver("inv_1", 2, ((SLEEP_DONE, 0, b"other"),), (2,)))
    await eventually(lambda: around.streams and around.streams[0].sent)
    crew.deliver(Deliver("inv_1", 1, ((SLEEP_DONE, 0, b"last"),), (3,)))
    stream = around.streams[0]
    delivered = [frame[2] for frame in stream.sent if frame[0] == SLEEP_DONE]
    assert delivered[-1] == b"last"
    assert b"other" not in delivered
    assert b"new" in delivered
    stream.answer(END)
    stream.end()
    await over(around)


async def test_a_step_waits_for_its_result(around: Surroundings):
    """A command from which nothing follows is reported with the next message, or soon."""
    stream = await opened(around)
    stream.answer(RUN)
    await asyncio.sleep(0.001)
    stream.answer(OUTPUT)
    await eventually(lambda: around.kinds)
    assert around.kinds == [RUN, OUTPUT]
    stream.answer(RUN)
    await eventually(lambda: len(around.kinds) == 3)
    stream.answer(END)
    stream.end()
    await over(around)
    assert around.kinds == [RUN, OUTPUT, RUN, END]


async def test_silence_ends_the_request_then_the_attempt(around: Surroundings, clock: ManualClock):
    """After the inactivity timeout the request ends, after the abort timeout the attempt fails with RT0001."""
    stream = await opened(around)
    clock.move_to(clock.now_ms() + 999)
    await asyncio.sleep(0.01)
    assert not stream.is_half_closed
    clock.move_to(clock.now_ms() + 1)
    await eventually(lambda: stream.is_half_closed)
    clock.move_to(clock.now_ms() + 4999)
    await asyncio.sleep(0.01)
    assert not stream.is_aborted
    clock.move_to(clock.now_ms() + 1)
    await over(around)
    assert stream.is_aborted
    [ended] = around.reported
    assert isinstance(ended, AttemptEnded)
    assert ended.failure is not None
    assert ended.failure.doc_code == "RT0001"


async def test_activity_puts_the_timeout_off(around: Surroundings, clock: ManualClock):
    """Every message in either direction counts."""
    stream = await opened(around)
    for _ in range(3):
        clock.move_to(clock.now_ms() + 800)
        crew_of(around).deliver(Deliver("inv_1", 1, ((SLEEP_DONE, 0, b""),), (1,)))
        await asyncio.sleep(0.005)
    assert not stream.is_half_closed
    stream.answer(END)
    stream.end()
    await over(around)


async def test_a_response_that_just_ends_is_reported(around: Surroundings):
    """A stream without End, Suspension or Error is an attempt that ended for no reason."""
    stream = await opened(around)
    stream.answer(OUTPUT)
    stream.end()
    await over(around)
    assert around.reported[-1] == AttemptEnded("inv_1", 1, None)


async def test_a_lost_stream_is_a_failure(around: Surroundings):
    """Reason with hint, code and `retry-after` are in the report, and what was held goes before it."""
    stream = await opened(around)
    stream.answer(RUN)
    await asyncio.sleep(0.001)
    stream.end(TransportError("busy", kind=FailureKind.BUSY, code=503, retry_after_ms=7000, hint="Add workers."))
    await over(around)
    assert around.kinds == [RUN]
    ended = around.reported[-1]
    assert isinstance(ended, AttemptEnded)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.doc_code, ended.failure.retry_after_ms) == (503, "RT0023", 7000)
    assert ended.failure.message == "busy Add workers."


async def test_an_oversized_message_is_a_failure(around: Surroundings):
    """A header that announces more than the limit ends the attempt with RT0003, and the stream is cut."""
    stream = await opened(around)
    stream._answers.put_nowait((OUTPUT << 48 | 4096).to_bytes(8, "big"))
    await over(around)
    ended = around.reported[-1]
    assert isinstance(ended, AttemptEnded)
    assert ended.failure is not None
    assert ended.failure.doc_code == "RT0003"
    assert stream.is_aborted


async def test_nothing_is_reported_after_the_end(around: Surroundings):
    """Messages after the terminal one are dropped; the response is read away."""
    stream = await opened(around)
    stream.answer(END, OUTPUT)
    stream.answer(OUTPUT)
    stream.end()
    await over(around)
    assert around.kinds == [END]


async def test_a_cut_attempt_reports_nothing(around: Surroundings):
    """The state machine knows why it asked for that."""
    stream = await opened(around)
    crew_of(around).abort(Abort("inv_1", 1))
    await over(around)
    assert stream.is_aborted
    assert around.reported == []


async def test_an_attempt_is_half_closed_when_asked(around: Surroundings):
    """So that a pause takes effect at the next wait; another attempt's number is ignored."""
    stream = await opened(around)
    crew_of(around).half_close(HalfClose("inv_1", 2))
    await asyncio.sleep(0.005)
    assert not stream.is_half_closed
    crew_of(around).half_close(HalfClose("inv_1", 1))
    await eventually(lambda: stream.is_half_closed)
    crew_of(around).abort(Abort("inv_1", 1))
    await over(around)


async def test_the_next_attempt_waits_for_the_last(around: Surroundings):
    """An invocation never has two streams: the next opens when the last was left, also after a wait for a turn."""
    stream = await opened(around)
    stream.answer(END)
    await eventually(lambda: stream.is_half_closed)
    crew_of(around).start(StartAttempt("other", 1, plan()))
    await eventually(lambda: len(around.streams) == 2)
    crew_of(around).start(StartAttempt("inv_1", 2, plan()))  # both places are taken: it queues
    assert crew_of(around).waiting_count == 1
    around.streams[1].answer(END)
    around.streams[1].end()
    await eventually(lambda: crew_of(around).waiting_count == 0)
    await asyncio.sleep(0.005)
    assert len(around.streams) == 2
    stream.end()
    await eventually(lambda: len(around.streams) == 3)
    around.streams[2].answer(END)
    around.streams[2].end()
    await over(around)


async def test_a_crew_stops_in_bounded_time(around: Surroundings):
    """Open attempts are asked to suspend, then cut; what waited is dropped, and nothing starts any more."""
    stream = await opened(around)
    await crew_of(around).stop(0.02)
    assert stream.is_half_closed
    assert stream.is_aborted
    crew_of(around).start(StartAttempt("inv_1", 2, plan()))
    assert crew_of(around).open_count == 0
    assert around.reported == []
