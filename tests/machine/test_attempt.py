"""What an attempt sends, and how it fails."""

from __future__ import annotations

import pytest

from durably.errors import CommandInfo, LocalProtocolError, ProtocolError, UnsupportedFeatureError
from durably.machine import ErrorBehavior, Machine, MachineOptions, State
from durably.protocol.messages import MessageType
from tests.machine.wire import (
    V6,
    V7,
    only,
    opened,
    written,
)  # fmt: skip

T = MessageType


def test_too_long_commands_are_refused_locally():
    """A command over the limit fails the attempt with a text, instead of being refused by the runtime for ever."""
    machine = opened(options=MachineOptions(max_message_bytes=100))
    machine.sys_set_state("a", b"x" * 80)
    with pytest.raises(LocalProtocolError, match="limit is 100") as caught:
        machine.sys_set_state("a", b"x" * 100)
    assert caught.value.command == CommandInfo(2, T.SET_STATE, "")
    assert [item.type for item in written(machine)] == [T.SET_STATE, T.ERROR]


def test_too_long_results_are_refused_locally():
    """So is the result of a step."""
    machine = opened(options=MachineOptions(max_message_bytes=100))
    handle = machine.sys_run("big")
    machine.progress(handle)
    with pytest.raises(LocalProtocolError, match="PROPOSE_RUN_COMPLETION has 10"):
        machine.propose_run_success(handle, b"x" * 100)
    assert machine.is_closed


def test_output_is_taken_once():
    """Each frame is given once, in order."""
    machine = opened()
    assert machine.data_to_send() == b""
    machine.sys_clear_all_state()
    machine.sys_clear_state("a")
    assert [item.type for item in written(machine)] == [T.CLEAR_ALL_STATE, T.CLEAR_STATE]
    assert machine.data_to_send() == b""


def test_fail_writes_everything():
    """An Error carries code, texts, delay and the command it is about."""
    machine = opened()
    machine.sys_run("charge")
    machine.fail(code=503, message="down", stacktrace="here", next_retry_delay_ms=1500, command=machine.last_command)
    error = only_error(machine)
    assert (error.code, error.message, error.stacktrace, error.next_retry_delay) == (503, "down", "here", 1500)
    assert (error.related_command_index, error.related_command_type, error.related_command_name) == (1, T.RUN, "charge")
    assert machine.state is State.FAILED


def only_error(machine: Machine):
    """Give the Error, which must be the last frame."""
    last = written(machine)[-1]
    assert last.type is T.ERROR
    return last.message


def test_fail_leaves_out_what_is_not_known():
    """Without a command, a name or a delay, the fields are absent."""
    machine = opened()
    assert machine.last_command == CommandInfo(0, T.INPUT, "")
    machine.fail(message="x", command=machine.last_command)
    error = only_error(machine)
    assert not error.HasField("related_command_name")
    assert not error.HasField("next_retry_delay")
    assert Machine(V6).last_command is None
    other = opened()
    other.fail(message="x")
    assert not only_error(other).HasField("related_command_index")


def test_fail_is_ignored_when_closed():
    """Only the first error is written."""
    machine = opened()
    machine.fail(message="first")
    machine.fail(message="second")
    assert [item.message.message for item in written(machine)] == ["first"]


@pytest.mark.parametrize("code", [598, 599, 0, -1, 70000])
def test_local_codes_stay_local(code: int):
    """Codes that the runtime does not know become 500."""
    machine = opened()
    machine.fail(code=code, message="x")
    assert only_error(machine).code == 500


def test_fail_accepts_any_text():
    """Texts of exceptions may hold lone surrogates and megabytes, and the Error is still written."""
    machine = opened()
    machine.fail(message="\ud800" + "é" * 10**6, stacktrace="x" * 10**6, next_retry_delay_ms=-5)
    error = only_error(machine)
    assert error.message.startswith("\\ud800é")
    assert len(error.message) < 70_000
    assert len(error.stacktrace) == 64 * 1024
    assert error.next_retry_delay == 0


def test_core_error_behavior_needs_v7():
    """Pausing or failing an invocation by an Error exists since V7; before, asking for it is the error."""
    machine = opened(version=V7)
    machine.fail(message="x", behavior=ErrorBehavior.PAUSE)
    assert only_error(machine).behavior == ErrorBehavior.PAUSE
    older = opened(version=V6)
    with pytest.raises(UnsupportedFeatureError, match="needs service protocol V7"):
        older.fail(message="x", behavior=ErrorBehavior.FAIL)
    assert only_error(older).code == 573


def test_fail_works_before_start():
    """An attempt can fail before anything arrived."""
    machine = Machine(V6)
    machine.fail(message="no")
    assert machine.is_closed
    assert not machine.is_ready_to_execute


CALLS = {
    "sys_run": lambda machine: machine.sys_run(),
    "sys_get_state": lambda machine: machine.sys_get_state("a"),
    "sys_get_state_keys": lambda machine: machine.sys_get_state_keys(),
    "sys_awakeable": lambda machine: machine.sys_awakeable(),
    "sys_signal": lambda machine: machine.sys_signal("a"),
    "sys_call": lambda machine: machine.sys_call("s", "h", b"", idempotency_key=""),
    "sys_end": lambda machine: machine.sys_end(),
    "sys_output": lambda machine: machine.sys_output(b""),
    "progress": lambda machine: machine.progress(1),
    "take": lambda machine: machine.take(1),
    "take_input": lambda machine: machine.take_input(),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_after_the_end_are_refused_locally(name: str):
    """A handler that goes on after its attempt ended gets 598, and nothing is written."""
    machine = opened()
    machine.fail(message="over")
    machine.data_to_send()
    with pytest.raises(LocalProtocolError, match="attempt is over") as caught:
        CALLS[name](machine)
    assert caught.value.code == 598
    assert machine.data_to_send() == b""


@pytest.mark.parametrize("name", [name for name in CALLS if name != "take"])
def test_calls_before_the_start_are_refused(name: str):
    """A call before the journal is complete is a violation that ends the attempt."""
    machine = Machine(V6)
    with pytest.raises(ProtocolError) as caught:
        CALLS[name](machine)
    assert caught.value.code == 571
    assert only(machine, T.ERROR).code == 571
