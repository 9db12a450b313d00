"""What may arrive when, and what is refused."""

from __future__ import annotations

import pytest

from durably.errors import RemoteProtocolError
from durably.machine import Machine, MachineOptions, Progress, State
from durably.protocol import messages
from durably.protocol.framing import encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import (
    V6,
    V7,
    VERSIONS,
    ack,
    entry,
    feed,
    frame,
    frames_of,
    input_entry,
    only,
    opened,
    run_done,
    signal,
    start,
)  # fmt: skip

T = MessageType


def refused(machine: Machine, data: bytes) -> RemoteProtocolError:
    """Feed bytes that must be refused; give the error, after checking the Error frame."""
    with pytest.raises(RemoteProtocolError) as caught:
        machine.receive_data(data)
    assert machine.state is State.FAILED
    assert only(machine, T.ERROR).code == caught.value.code
    return caught.value


@pytest.mark.parametrize("version", VERSIONS)
def test_the_handler_starts_when_all_entries_are_there(version: ProtocolVersion):
    """Byte by byte: ready exactly with the last byte of the last known entry, and replaying until it is taken."""
    machine = Machine(version)
    data = start(3) + frames_of([input_entry(), entry(T.RUN, result_completion_id=1), run_done(1)])
    for byte in data[:-1]:
        machine.receive_data(bytes([byte]))
        assert not machine.is_ready_to_execute
    machine.receive_data(data[-1:])
    assert machine.is_ready_to_execute
    assert machine.is_replaying
    machine.take_input()
    machine.sys_run()
    assert machine.state is State.PROCESSING
    assert not machine.is_replaying
    assert machine.is_ready_to_execute


def test_everything_after_the_end_is_ignored():
    """Once closed, data of any kind changes nothing and raises nothing."""
    machine = opened()
    machine.fail(message="boom")
    machine.data_to_send()
    machine.receive_data(b"\xff" * 100)
    feed(machine, run_done(1))
    machine.receive_eof()
    assert machine.data_to_send() == b""
    assert machine.is_closed


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames_of([input_entry()]), 571),
        (frames_of([run_done(1)]), 571),
        (frame(T.END, messages.End()), 571),
        (frame(T.COMMAND_ACK, messages.CommandAck()), 571),
        (ack(1), 571),
        (start(0), 500),
        (encode_frame(0x0042, b""), 500),
        (encode_frame(0xFC01, b""), 571),
        (encode_frame(T.START, b"\xff"), 500),
        (start(1, state_map=[messages.StateEntry(key=b"\xff")]), 500),
    ],
)
def test_what_may_not_come_first(data: bytes, code: int):
    """An attempt begins with a readable Start that announces at least one entry."""
    assert refused(Machine(V6), data).code == code


@pytest.mark.parametrize("data", [start(1), ack(1), frame(T.SUSPENSION, messages.Suspension())])
def test_what_may_not_come_among_entries(data: bytes):
    """Between Start and the last known entry only commands and notifications may come."""
    machine = Machine(V6)
    machine.receive_data(start(2))
    assert refused(machine, data).code == 571


@pytest.mark.parametrize("data", [start(1), frames_of([input_entry()]), encode_frame(0x040F, b"")])
def test_what_may_not_come_later(data: bytes):
    """Commands come from the handler once the journal is complete."""
    assert refused(opened(), data).code == 571


def test_acks_are_for_proposed_steps():
    """An ack while replaying, of a step that was not proposed, or unreadable, is refused."""
    replaying = opened(entry(T.RUN, result_completion_id=1), version=V7)
    assert refused(replaying, ack(1)).code == 571
    assert "has not proposed" in str(refused(opened(version=V7), ack(1)))
    assert refused(opened(version=V7), encode_frame(T.PROPOSE_RUN_COMPLETION_ACK, b"\xff")).code == 500


def test_unknown_notifications_are_kept():
    """A notification of a newer type is read like any other, so that nothing is lost on upgrades."""
    machine = opened()
    handle = machine.sys_sleep(1)
    feed(machine, (0x9ABC, run_done(handle)[1]))
    assert machine.progress(handle) is Progress.READY


def test_unreadable_notifications_are_refused():
    """A notification that cannot be read ends the attempt."""
    assert refused(opened(), encode_frame(T.SIGNAL, b"")).code == 500


def test_too_long_messages_are_refused_at_their_header():
    """The limit holds before the payload is buffered."""
    machine = opened(options=MachineOptions(max_message_bytes=100))
    feed(machine, run_done(1, b"x" * 80))
    assert refused(machine, encode_frame(T.SIGNAL, b"x" * 101)[:8]).code == 500


def test_eof_before_the_journal_is_complete():
    """The stream may not end while known entries are missing."""
    for data in (b"", start(2), start(2) + frames_of([input_entry()])):
        machine = Machine(V6)
        machine.receive_data(data)
        with pytest.raises(RemoteProtocolError, match="ended while waiting") as caught:
            machine.receive_eof()
        assert caught.value.code == 571
        assert only(machine, T.ERROR).code == 571


def test_eof_later_is_only_noted():
    """Half-close is normal; it matters when something is awaited."""
    machine = opened()
    machine.receive_eof()
    machine.receive_eof()
    assert machine.input_closed
    assert machine.state is State.PROCESSING


def test_signals_may_come_while_replaying():
    """A notification that arrives during replay is queued behind the recorded ones."""
    machine = opened(entry(T.RUN, result_completion_id=1), entry(T.RUN, result_completion_id=2))
    feed(machine, signal(-17))
    machine.sys_run()
    _, handle = machine.sys_awakeable()
    assert machine.progress(handle) is Progress.READY
