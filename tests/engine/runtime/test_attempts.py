"""One attempt and the crew of all: what goes over a stream, in which order, and what is reported of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from durably import ManualClock
from durably.engine.actions import Abort, Deliver, HalfClose, StartAttempt
from durably.engine.attempts import Attempt
from durably.engine.crew import Crew
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted, Event
from durably.engine.records import AttemptPlan, Deployment, ProtocolMode, Target
from durably.engine.transport.contract import (
    DiscoveryResult,
    FailureKind,
    ResponseHead,
    TransportError,
)
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.engine.runtime.conftest import eventually

START, INPUT, RUN, END = (
    int(kind) for kind in (MessageType.START, MessageType.INPUT, MessageType.RUN, MessageType.END)
)
OUTPUT, SLEEP_DONE = int(MessageType.OUTPUT), int(MessageType.SLEEP_COMPLETION)


class Stream:
    """A service's side of a stream, which the test plays."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int, bytes]] = []
        self.is_half_closed = False
        self.is_aborted = False
        self._decoder = FrameDecoder()
        self._answers: asyncio.Queue[bytes | TransportError | None] = asyncio.Queue()

    def answer(self, *kinds: int) -> None:
        """Send messages without content."""
        self._answers.put_nowait(b"".join(encode_frame(kind, b"") for kind in kinds))

    def end(self, failure: TransportError | None = None) -> None:
        """End the response."""
        self._answers.put_nowait(failure)

    def write(self, data: bytes) -> None:
        """Take what the engine sends."""
        self.sent += self._decoder.feed(data)

    async def send(self, data: bytes) -> None:
        """Take what the engine sends."""
        self.write(data)

    async def half_close(self) -> None:
        """Note the end of the request."""
        self.is_half_closed = True

    async def receive(self) -> bytes | None:
        """Give what the test answers."""
        answer = await self._answers.get()
        if isinstance(answer, TransportError):
            raise answer
        return answer

    async def response(self) -> ResponseHead:
        """Give a head."""
        return ResponseHead(200, (("x-restate-server", "test/1"),))

    async def abort(self) -> None:
        """Note the cut."""
        self.is_aborted = True
        self._answers.put_nowait(TransportError("cut"))


class Surroundings:
    """An engine around a crew: plans, transports and reports are the test's."""

    max_message_bytes = 1024

    def __init__(self, clock: ManualClock, crew: Crew) -> None:
        self._clock = clock
        self._crew = crew
        self.streams: list[Stream] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.reported: list[Event] = []
        self.planned = plan()
        crew.attach(self)

    @property
    def kinds(self) -> list[int]:
        """The types of all messages that were reported."""
        return [frame[0] for event in self.reported if isinstance(event, AttemptFrames) for frame in event.frames]

    def now_ms(self) -> int:
        """Tell the time."""
        return self._clock.now_ms()

    def post(self, event: Event) -> None:
        """Take a report."""
        self.reported.append(event)

    def room(self) -> asyncio.Future[None] | None:
        """Have room."""
        return None

    def transport(self, deployment: Deployment) -> Surroundings:
        """Be the transport too."""
        return self

    async def open(
        self, path: str, headers: Sequence[tuple[str, str]], *, streaming: bool = True, method: str = "POST"
    ) -> Stream:
        """Give a stream that the test plays."""
        self.paths.append(path)
        self.headers.append(dict(headers))
        self.streams.append(Stream())
        return self.streams[-1]

    async def discover(self, headers: Sequence[tuple[str, str]] = ()) -> DiscoveryResult:
        """Discover nothing."""
        raise AssertionError

    async def close(self) -> None:
        """Have nothing to close."""

    async def plan(self, invocation_id: str, attempt: int) -> AttemptPlan | None:
        """Give the plan anew."""
        return self.planned

    def hold(self, attempt: Attempt) -> None:
        """Pass it on."""
        self._crew.hold(attempt)

    def watch(self, deadline_ms: int) -> None:
        """Pass it on."""
        self._crew.watch(deadline_ms)


def plan(**changes: Any) -> AttemptPlan:
    """Give what an attempt is opened with."""
    deployment = Deployment(
        "dp_1",
        "http://test",
        0,
        changes.pop("mode", ProtocolMode.BIDI_STREAM),
        "HTTP/2.0",
        5,
        7,
        additional_headers=(("authorization", "secret"),),
    )
    fields: dict[str, Any] = {
        "target": Target("S", "ä/1", "h"),
        "is_keyed": True,
        "frames": ((START, 0, b""), (INPUT, 0, b"")),
        "known_entries": 1,
        "inactivity_timeout_ms": 1000,
        "abort_timeout_ms": 5000,
        **changes,
    }
    return AttemptPlan("inv_1", 1, deployment, ProtocolVersion.V6, **fields)


@pytest.fixture
async def around(clock: ManualClock) -> Surroundings:
    """Give a crew of at most two, and its surroundings."""
    return Surroundings(clock, Crew(clock, 2))


def crew_of(around: Surroundings) -> Crew:
    """Give the crew."""
    return around._crew


async def opened(around: Surroundings, **changes: Any) -> Stream:
    """Start an attempt and give its stream."""
    count = len(around.streams)
    crew_of(around).start(StartAttempt("inv_1", 1, plan(**changes)))
    await eventually(lambda: len(around.streams) > count and around.streams[-1].sent)
    return around.streams[-1]


async def over(around: Surroundings) -> None:
    """Wait until nothing is open."""
    await eventually(lambda: crew_of(around).open_count == 0)


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
    """The transport's reason, code and `retry-after` are in the report, and what was held goes before it."""
    stream = await opened(around)
    stream.answer(RUN)
    await asyncio.sleep(0.001)
    stream.end(TransportError("busy", kind=FailureKind.BUSY, code=503, retry_after_ms=7000))
    await over(around)
    assert around.kinds == [RUN]
    ended = around.reported[-1]
    assert isinstance(ended, AttemptEnded)
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.doc_code, ended.failure.retry_after_ms) == (503, "RT0023", 7000)


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


async def test_a_service_that_always_refuses_fails_the_attempt(around: Surroundings):
    """After a few streams the attempt fails, once, and the retry policy decides."""
    await opened(around)
    for number in range(4):
        await eventually(lambda number=number: len(around.streams) == number + 1 and around.streams[number].sent)
        around.streams[number].end(TransportError("going away", is_refused=True))
    await over(around)
    assert len(around.streams) == 4
    assert [type(event) for event in around.reported] == [AttemptEnded]


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
