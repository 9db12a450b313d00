"""The life of an attempt of a `def` handler, against a connection made of lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durably import Service
from durably.authoring.attempt import new_machine
from durably.authoring.drivers import Disconnected
from durably.authoring.endpoint import Endpoint
from durably.authoring.sync_attempt import run_sync_attempt
from durably.authoring.sync_contexts import SyncContext
from durably.protocol import messages as wire
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import run_once
from tests.runtime_model.runtime import Runtime


class Lists:
    """A connection: `None` ends the request, an exception is raised."""

    def __init__(self, *incoming: bytes | BaseException | None) -> None:
        """Receive these."""
        self.incoming = list(incoming)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Keep."""
        self.sent.append(data)

    def receive(self) -> bytes | None:
        """Give the next one."""
        each = self.incoming.pop(0)
        if isinstance(each, BaseException):
            raise each
        return each

    def wake(self) -> None:
        """Nobody waits."""

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        """Nobody disconnects while the handler runs."""

    def submit(self, function: Callable[[], None]) -> None:
        """Run at once."""
        function()


def attempt(handler: Callable[..., Any], *incoming: bytes | BaseException | None) -> list[tuple[int, bytes]]:
    """Run one attempt; give what it wrote."""
    service = Service("Played")
    service.handler("play")(handler)
    endpoint = Endpoint().bind(service)
    found = endpoint.find("Played", "play")
    assert found is not None
    lists = Lists(*incoming)
    run_sync_attempt(found, endpoint, new_machine(found, endpoint, ProtocolVersion.V6), {}, lists)
    return [(kind, payload) for kind, _, payload in FrameDecoder().feed(b"".join(lists.sent))]


def journal() -> bytes:
    """Give Start and Input."""
    return Runtime(None, "Played", "play").start_frames()


def done(ctx: SyncContext) -> str:
    """Be a handler."""
    return "done"


def test_the_journal_may_arrive_in_pieces() -> None:
    """The handler starts once it is whole."""
    data = journal()
    frames = attempt(done, *(data[index : index + 1] for index in range(len(data))))
    assert [kind for kind, _ in frames] == [MessageType.OUTPUT, MessageType.END]


@pytest.mark.parametrize(
    "incoming",
    [(None,), (journal()[:20], None), (b"\x7f\xff\x00\x00\x00\x00\x00\x00",)],
    ids=["none", "half", "garbage"],
)
def test_a_journal_that_cannot_be_read_is_answered(incoming: tuple[bytes | None, ...]) -> None:
    """With one Error, and without running the handler."""
    frames = attempt(done, *incoming)
    assert [kind for kind, _ in frames] == [MessageType.ERROR]


def test_a_lost_connection_before_the_handler_runs() -> None:
    """Is the host's to deal with."""
    with pytest.raises(Disconnected):
        attempt(done, journal()[:5], Disconnected())


def test_ctrl_c_passes_through() -> None:
    """KeyboardInterrupt belongs to the process, in the handler and in a step."""

    def handle(ctx: SyncContext) -> None:
        raise KeyboardInterrupt

    def handle_step(ctx: SyncContext) -> None:
        ctx.run("step", handle, args=(ctx,))

    for handler in (handle, handle_step):
        with pytest.raises(KeyboardInterrupt):
            attempt(handler, journal(), b"")


def test_the_input_is_decoded_once_the_journal_is_there() -> None:
    """A typed input arrives as its type; what does not validate is terminal, naming the field."""

    def handle(ctx: SyncContext, count: int) -> int:
        return count + 1

    assert run_once(handle, body=b"1").result == 2
    code, message = run_once(handle, body=b'"x"').result
    assert code == 400
    assert "integer" in message


def test_the_output_goes_out_before_each_wait_and_at_the_end() -> None:
    """A command is handed over before the thread blocks."""
    sent_before: list[int] = []

    class Watching(Lists):
        def receive(self) -> bytes | None:
            sent_before.append(len(self.sent))
            return super().receive()

    service = Service("Played")

    def handle(ctx: SyncContext) -> str:
        return ctx.awakeable()[1].result() + ctx.generic_call("A", "b", b"").decode()

    service.handler("play")(handle)
    endpoint = Endpoint().bind(service)
    found = endpoint.find("Played", "play")
    assert found is not None
    signal = wire.Notification(signal_id=17, value=wire.Value(content=b'"x"'))
    lists = Watching(journal(), encode_frame(MessageType.SIGNAL, signal.SerializeToString()), None)
    run_sync_attempt(found, endpoint, new_machine(found, endpoint, ProtocolVersion.V6), {}, lists)
    assert sent_before == [0, 0, 1]
    kinds = [kind for kind, _, _ in FrameDecoder().feed(b"".join(lists.sent))]
    assert kinds == [MessageType.CALL, MessageType.SUSPENSION]
