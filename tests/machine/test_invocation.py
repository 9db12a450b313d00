"""The life of an attempt: input, timers, output, end."""

from __future__ import annotations

import hashlib

import pytest

from durably.errors import JournalMismatchError, LocalProtocolError, RemoteProtocolError
from durably.machine import Failure, Machine, Progress, State
from durably.protocol import messages
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import (
    DEBUG_ID,
    INVOCATION_ID,
    V5,
    V6,
    V7,
    VERSIONS,
    entry,
    feed,
    frames_of,
    input_entry,
    only,
    opened,
    run_done,
    start,
    written,
)

T = MessageType


@pytest.mark.parametrize("version", VERSIONS)
def test_core_input_output(version: ProtocolVersion):
    """The shortest life: an input is taken, an output written, the end reached."""
    machine = Machine(version)
    machine.receive_data(
        start(1, key="k") + frames_of([input_entry(b"in", headers=[messages.Header(key="a", value="1")])])
    )
    call = machine.take_input()
    assert (call.id, call.debug_id, call.key, call.body) == (INVOCATION_ID, DEBUG_ID, "k", b"in")
    assert call.headers == (("a", "1"),)
    assert call.known_entries == 1
    machine.sys_output(b"out")
    assert machine.state is State.PROCESSING
    machine.sys_end()
    assert machine.state is State.ENDED
    assert [item.type for item in written(machine)] == [T.OUTPUT, T.END]


def test_an_input_may_be_empty():
    """Without a value the body is empty."""
    machine = Machine(V6)
    machine.receive_data(start(1) + frames_of([entry(T.INPUT)]))
    assert machine.take_input().body == b""


def test_random_seed():
    """V6 takes the seed that Start brings; V5 derives it from the invocation's id."""
    for version in (V6, V7):
        machine = Machine(version)
        machine.receive_data(start(1, random_seed=2**64 - 1) + frames_of([input_entry()]))
        assert machine.take_input().random_seed == 2**64 - 1
    machine = Machine(V5)
    machine.receive_data(start(1) + frames_of([input_entry()]))
    assert machine.take_input().random_seed == int.from_bytes(hashlib.sha256(INVOCATION_ID).digest()[:8], "big")


@pytest.mark.parametrize("version", VERSIONS)
def test_scopes_exist_since_v7(version: ProtocolVersion):
    """Scope, limit key and idempotency key of the invocation are there in V7 only, and None when absent."""
    machine = Machine(version)
    machine.receive_data(start(1, scope="s", limit_key="l", idempotency_key="i") + frames_of([input_entry()]))
    call = machine.take_input()
    expected = ("s", "l", "i") if version is V7 else (None, None, None)
    assert (call.scope, call.limit_key, call.idempotency_key) == expected
    bare = Machine(version)
    bare.receive_data(start(1) + frames_of([input_entry()]))
    call = bare.take_input()
    assert (call.scope, call.limit_key, call.idempotency_key) == (None, None, None)


def test_input_is_the_first_command():
    """A journal that begins with anything else does not belong to any handler."""
    machine = Machine(V6)
    machine.receive_data(start(1) + frames_of([entry(T.RUN, name="a")]))
    with pytest.raises(JournalMismatchError, match="run 'a'"):
        machine.take_input()
    assert only(machine, T.ERROR).code == 570


def test_input_is_taken_once():
    """Taking it again is a mistake of the host."""
    machine = opened()
    with pytest.raises(LocalProtocolError):
        machine.take_input()
    assert only(machine, T.ERROR).code == 571


def test_unreadable_input():
    """An input that cannot be read is the runtime's error."""
    machine = Machine(V6)
    machine.receive_data(start(1) + frames_of([(int(T.INPUT), b"\xff")]))
    with pytest.raises(RemoteProtocolError):
        machine.take_input()
    assert only(machine, T.ERROR).code == 500


def test_core_sleep():
    """A timer has a time and a name, and brings nothing."""
    machine = opened()
    handle = machine.sys_sleep(1234, "nap")
    assert only(machine, T.SLEEP) == messages.SleepCommand(wake_up_time=1234, result_completion_id=1, name="nap")
    feed(machine, (int(T.SLEEP_COMPLETION), messages.Notification(
        completion_id=1, void=messages.Void()).SerializeToString()))  # fmt: skip
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) is None


def test_core_replayed_output():
    """An attempt that died between output and end writes the end only."""
    machine = opened(entry(T.OUTPUT, value=messages.Value(content=b"out")))
    machine.sys_output(b"out")
    machine.sys_end()
    assert [item.type for item in written(machine)] == [T.END]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 20000])
def test_outputs_of_every_length(size: int):
    """The short way of writing gives the bytes of the serializer, at lengths on both sides of its limit."""
    machine = opened()
    machine.sys_output(b"x" * size)
    expected = messages.OutputCommand(value=messages.Value(content=b"x" * size)).SerializeToString()
    assert machine.data_to_send()[8:] == expected


def test_failures_are_outputs():
    """A terminal failure ends the invocation too."""
    machine = opened()
    machine.sys_output(Failure(402, "pay"))
    machine.sys_end()
    output, end = written(machine)
    assert output.message.failure == messages.Failure(code=402, message="pay")
    assert end.type is T.END


def test_core_end_while_replaying():
    """The handler may not end before what it did before."""
    machine = opened(entry(T.RUN, result_completion_id=1), run_done(1))
    with pytest.raises(LocalProtocolError, match="not allowed while replaying"):
        machine.sys_end()
    assert only(machine, T.ERROR).code == 571


def test_there_is_no_end_without_output():
    """An end needs an output right before it."""
    machine = opened()
    machine.sys_output(b"")
    machine.sys_run()
    with pytest.raises(LocalProtocolError, match="without an output"):
        machine.sys_end()
    assert machine.state is State.FAILED


@pytest.mark.parametrize("text", ["\ud800"])
def test_texts_that_cannot_be_written_change_nothing(text: str):
    """A text without UTF-8 form raises ValueError; ids and journal are as before."""
    machine = opened()
    for call in (machine.sys_run, machine.sys_get_promise, machine.sys_attach, lambda t: machine.sys_sleep(1, t)):
        with pytest.raises(ValueError, match=r"surrogates|UTF-8"):
            call(text)
    assert machine.data_to_send() == b""
    assert machine.sys_sleep(1) == 1
