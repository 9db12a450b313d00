"""A crew of attempts whose services the test plays, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from durably import ManualClock
from durably.engine.actions import StartAttempt
from durably.engine.attempts import Attempt
from durably.engine.crew import Crew
from durably.engine.events import AttemptFrames, Event
from durably.engine.records import AttemptPlan, Deployment, ProtocolMode, Target
from durably.engine.transport.contract import DiscoveryResult, ResponseHead, TransportError
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

    async def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give what the test answers to a function."""
        while (data := await self.receive()) is not None:
            if not take(data):
                return True
        return False

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
