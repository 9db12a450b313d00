"""One attempt: one exchange with a service, from Start to its terminal message.

Owns what goes over the stream and when, and what is reported of it. What the messages mean is the state machine's
business; which attempts there are, and how many at once, is `durably.engine.crew`'s.

| phase | request | takes deliveries | leaves it when |
|---|---|---|---|
| WAITING | not open | no: they are in the journal that is read | it gets its turn |
| OPENING | not open | keeps them | the stream is open and the journal is written |
| STREAMING | open | sends them | inactivity, a request to half-close, the end |
| CLOSED | ended | no: they are in the journal | the end, or the abort timeout |
| OVER | – | no | – |

Rules
1. A service that cannot stream, and one whose inactivity timeout is 0, gets its request ended right after the journal.
2. After End, Suspension or Error nothing more is reported; what follows is read away for at most 5 s.
3. Messages from which nothing follows at once are reported with the next ones, or a little later: a step that is
   over soon costs one commit and not two.
4. An attempt that was cut by the engine reports nothing; one that failed or timed out reports `AttemptEnded`, once.
5. A stream that the service refused before it sent a byte is opened again at once, with the journal as it is then,
   and the retry policy does not hear of it; a few times, so that a service which refuses everything fails the attempt.

Source: service protocol, "Driving one attempt" and "Closing an invocation stream".
"""

from __future__ import annotations

import asyncio
import enum
import logging
import struct
from collections.abc import Iterable
from typing import Final, Protocol
from urllib.parse import quote

from durably.engine import faults
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted, Event, Frame
from durably.engine.faults import FaultPoint
from durably.engine.records import AttemptFailure, AttemptPlan, Deployment, ProtocolMode
from durably.engine.transport.contract import AttemptStream, Transport, TransportError
from durably.errors import EngineStoppedError, RemoteProtocolError, StoreError
from durably.protocol.framing import FrameDecoder
from durably.protocol.messages import MessageType
from durably.protocol.versions import content_type_of

__all__ = ["Attempt", "Phase", "Surroundings"]

_TERMINAL: Final = frozenset((int(MessageType.END), int(MessageType.SUSPENSION), int(MessageType.ERROR)))
# Nothing follows from these alone, so that they can go with what comes next.
_PATIENT: Final = frozenset((int(MessageType.RUN), int(MessageType.AWAITING_ON)))
_HELD_LIMIT: Final = 16
_REOPENINGS: Final = 3  # for streams that a service refuses unseen, as when it closes an old connection
_DRAIN_LIMIT_S: Final = 5.0
_HEADER: Final = struct.Struct(">HHI")

_logger = logging.getLogger("durably.engine")


class Phase(enum.Enum):
    """Where an attempt is; see the module."""

    WAITING = enum.auto()
    OPENING = enum.auto()
    STREAMING = enum.auto()
    CLOSED = enum.auto()
    OVER = enum.auto()


class Surroundings(Protocol):
    """What an attempt needs of the engine."""

    def now_ms(self) -> int:
        """Tell the time."""
        ...

    def post(self, event: Event) -> None:
        """Report what happened."""
        ...

    def room(self) -> asyncio.Future[None] | None:
        """Give what to wait for before more is reported, or None when nothing is in the way."""
        ...

    def transport(self, deployment: Deployment) -> Transport:
        """Give the way to a deployment.

        Raises:
            TransportError: There is none.
        """
        ...

    async def plan(self, invocation_id: str, attempt: int) -> AttemptPlan | None:
        """Read what to open an attempt with; None when it is not wanted any more."""
        ...

    def hold(self, attempt: Attempt) -> None:
        """Have `report_held` called on an attempt a little later."""
        ...

    def watch(self, deadline_ms: int) -> None:
        """Have the deadlines of all attempts checked at `deadline_ms` or soon after."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """Longest message accepted from a service."""
        ...


class Attempt:
    """One attempt of one invocation.

    Attributes:
        invocation_id: Whose.
        number: Which.
        phase: See the module.
        active_ms: When something was sent or received last.
        after: The invocation's last attempt, while it leaves its stream; this one waits for it.
    """

    __slots__ = (
        "_around",
        "_decoder",
        "_early",
        "_held",
        "_is_answered",
        "_is_cut",
        "_is_finished",
        "_is_leaving",
        "_is_reopened",
        "_is_reported",
        "_plan",
        "_request_timeout_ms",
        "_stream",
        "_timeout_ms",
        "active_ms",
        "after",
        "invocation_id",
        "number",
        "phase",
    )

    def __init__(self, invocation_id: str, number: int, plan: AttemptPlan | None, around: Surroundings) -> None:
        """Wait for a turn.

        Args:
            invocation_id: Whose.
            number: Which.
            plan: What to open it with; None reads that when it is opened.
            around: The engine.
        """
        self.invocation_id: str = invocation_id
        self.number: int = number
        self.phase: Phase = Phase.WAITING
        self.active_ms: int = 0
        self.after: asyncio.Task[None] | None = None
        self._plan = plan
        self._around = around
        self._early: list[tuple[int, Frame]] = []
        self._held: list[Frame] = []
        self._stream: AttemptStream | None = None
        self._decoder = FrameDecoder(around.max_message_bytes)
        self._timeout_ms = 0
        self._request_timeout_ms = 0
        self._is_answered = False
        self._is_cut = False
        self._is_finished = False
        self._is_leaving = False
        self._is_reopened = False
        self._is_reported = False

    # ---- what the engine asks for

    def forget_plan(self) -> None:
        """Drop what is held for the opening; it will be read again."""
        self._plan = None

    def deliver(self, frames: Iterable[Frame], indexes: Iterable[int]) -> None:
        """Send messages to the service, or drop them when its request has ended: they are in the journal."""
        match self.phase:
            case Phase.STREAMING:
                if self._stream is not None:
                    self._stream.write(_encoded(frames))
                self.active_ms = self._around.now_ms()
            case Phase.OPENING:
                self._early += zip(indexes, frames, strict=True)
            case _:
                if self.phase is Phase.WAITING:
                    self._plan = None  # it lacks these

    async def half_close(self) -> None:
        """End the request, now or once it is open, so that the service suspends when it next waits."""
        self._is_leaving = True
        if self.phase is Phase.STREAMING and self._stream is not None:
            self._end_of_request()
            await self._stream.half_close()

    async def cut(self) -> None:
        """Abort it and report nothing more."""
        self._is_cut = True
        self.phase = Phase.OVER
        if self._stream is not None:
            await self._stream.abort()

    def report_held(self) -> None:
        """Report what waits for company."""
        if self._held:
            held, self._held = self._held, []
            if not self._is_cut and not self._is_reported:
                self._around.post(AttemptFrames(self.invocation_id, self.number, tuple(held)))

    def is_due(self) -> bool:
        """Tell whether its time is up; otherwise have it checked again."""
        if self.phase is not Phase.STREAMING and self.phase is not Phase.CLOSED:
            return False
        deadline_ms = self.active_ms + self._timeout_ms
        if self._around.now_ms() >= deadline_ms:
            return True
        self._around.watch(deadline_ms)
        return False

    async def time_out(self) -> None:
        """Do what is due when nothing happened for too long: ask it to suspend, or cut it."""
        if self.phase is Phase.STREAMING:
            await self.half_close()
        elif self.phase is Phase.CLOSED:
            text = f"The service did nothing for {self._timeout_ms} ms after it was asked to suspend."
            self._report(AttemptFailure(500, text, doc_code="RT0001"))
            await self.cut()

    # ---- its life

    async def run(self) -> None:
        """Run it to its end; never raises, except when the task is cancelled."""
        if self.after is not None:
            await asyncio.wait((self.after,))
            self.after = None
        reopenings = _REOPENINGS
        while await self._run(may_reopen=reopenings > 0):
            reopenings -= 1

    async def _run(self, *, may_reopen: bool) -> bool:
        """Run it over one stream; True when the service did not take it, so that it is opened again."""
        failure: AttemptFailure | None = None
        try:
            plan = self._plan
            if self._is_cut:
                return False
            self.phase = Phase.OPENING
            if plan is None:
                plan = await self._around.plan(self.invocation_id, self.number)
                if plan is None:
                    return False
            self._plan = None
            work = self._exchange(plan)
            del plan
            await work
        except TransportError as error:
            if error.is_refused and may_reopen and not (self._is_answered or self._is_cut or self._is_reported):
                _logger.debug("An attempt of %s is opened again: %s", self.invocation_id, error)
                self._start_over()
                return True
            failure = AttemptFailure(
                error.code,
                str(error),
                doc_code=error.kind.value,
                retry_after_ms=error.retry_after_ms,
                counts_as_progress_retry=error.counts,
            )
        except RemoteProtocolError as error:
            failure = AttemptFailure(error.code, str(error), doc_code="RT0003")
        except (EngineStoppedError, StoreError) as error:
            _logger.debug("An attempt of %s is left: %s", self.invocation_id, error)
            return False
        except Exception as error:
            _logger.exception("An attempt of %s failed in the engine.", self.invocation_id)
            failure = AttemptFailure(500, f"The attempt failed in the engine: {type(error).__name__}.")
        finally:
            was_over = self.phase is Phase.OVER
            if not self._is_reopened:
                self.phase = Phase.OVER
            self._is_reopened = False
        if not was_over or failure is not None:
            self._report(failure)
        if self._stream is not None and failure is not None:
            await self._stream.abort()
        return False

    def _start_over(self) -> None:
        """Forget the stream; what is delivered until the journal is read again is kept."""
        self._is_reopened = True
        self.phase = Phase.OPENING
        self._stream = None
        self._decoder = FrameDecoder(self._around.max_message_bytes)

    async def _exchange(self, plan: AttemptPlan) -> None:
        if faults.hook is not None:
            faults.hook(FaultPoint.RESUME)
        around = self._around
        deployment = plan.deployment
        can_stream = deployment.protocol_mode is ProtocolMode.BIDI_STREAM and plan.inactivity_timeout_ms > 0
        target = plan.target
        stream = await around.transport(deployment).open(
            f"/invoke/{target.service}/{target.handler}", _headers(plan), streaming=can_stream
        )
        self._stream = stream
        if self._is_cut:
            await stream.abort()
            return
        self.active_ms = around.now_ms()
        self._request_timeout_ms = plan.abort_timeout_ms
        frames = plan.frames
        if self._early:
            known = plan.known_entries
            frames += tuple([frame for index, frame in self._early if index >= known])
            self._early = []
        stream.write(_encoded(frames))
        if can_stream and not self._is_leaving:
            self.phase = Phase.STREAMING
            self._timeout_ms = plan.inactivity_timeout_ms
            around.watch(self.active_ms + self._timeout_ms)
        else:
            self._end_of_request()
            await stream.half_close()
        del plan, frames  # a long journal is not kept for the time of the attempt
        await self._read(stream, deployment)

    def _end_of_request(self) -> None:
        self.phase = Phase.CLOSED
        self.active_ms = self._around.now_ms()
        self._timeout_ms = self._request_timeout_ms
        self._around.watch(self.active_ms + self._timeout_ms)

    async def _read(self, stream: AttemptStream, deployment: Deployment) -> None:
        around = self._around
        data = await stream.receive()
        if data is None:
            return
        self._is_answered = True
        server = (await stream.response()).server
        if server is not None and server != deployment.sdk_version:
            around.post(AttemptStarted(self.invocation_id, self.number, server))
        if self._take(data) and not await stream.hand_over(self._take):
            return
        while not self._is_finished:
            room = around.room()
            if room is not None:
                await asyncio.shield(room)
            if not await stream.hand_over(self._take):
                return
        await self._drain(stream)

    def _take(self, data: bytes) -> bool:
        """Report what arrived; False when the service is done, or has to wait before it is heard further."""
        around = self._around
        self.active_ms = around.now_ms()
        frames = self._decoder.feed(data)
        if not frames:
            return True
        if self._held:
            frames = self._held + frames
            self._held = []
        kinds = {frame[0] for frame in frames}
        if not kinds.isdisjoint(_TERMINAL):
            self._finish(frames)
            return False
        if kinds <= _PATIENT and len(frames) < _HELD_LIMIT:
            self._held = frames
            around.hold(self)
            return True
        around.post(AttemptFrames(self.invocation_id, self.number, tuple(frames)))
        return around.room() is None

    def _finish(self, frames: list[Frame]) -> None:
        """Report the last messages, up to the terminal one."""
        self._is_finished = True
        end = next(position for position, frame in enumerate(frames) if frame[0] in _TERMINAL)
        if not self._is_cut and not self._is_reported:
            self._is_reported = True
            self._around.post(AttemptFrames(self.invocation_id, self.number, tuple(frames[: end + 1])))
        if end + 1 < len(frames):
            _logger.warning("%s sent %d messages after its last one.", self.invocation_id, len(frames) - end - 1)
        self.phase = Phase.OVER

    async def _drain(self, stream: AttemptStream) -> None:
        try:
            async with asyncio.timeout(_DRAIN_LIMIT_S):
                await stream.half_close()
                while await stream.receive() is not None:
                    pass
        except (TimeoutError, TransportError) as error:
            _logger.debug("%s did not end its response: %s", self.invocation_id, error)
            await stream.abort()

    def _report(self, failure: AttemptFailure | None) -> None:
        self.report_held()
        if not self._is_cut and not self._is_reported:
            self._is_reported = True
            self._around.post(AttemptEnded(self.invocation_id, self.number, failure))


def _headers(plan: AttemptPlan) -> list[tuple[str, str]]:
    content_type = content_type_of(plan.version)
    headers = [
        ("content-type", content_type),
        ("accept", content_type),
        ("x-restate-invocation-id", plan.invocation_id),
    ]
    if plan.is_keyed:
        headers.append(("x-restate-service-key", quote(plan.target.key, safe="")))
    if plan.deployment.additional_headers:
        headers += plan.deployment.additional_headers
    return headers


def _encoded(frames: Iterable[Frame]) -> bytes:
    pack = _HEADER.pack
    parts: list[bytes] = []
    for kind, flags, payload in frames:
        parts.append(pack(kind, flags, len(payload)))
        parts.append(payload)
    return b"".join(parts)
