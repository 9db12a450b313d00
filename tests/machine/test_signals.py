"""Signals, awakeables and promises."""

from __future__ import annotations

import pytest

from durably.machine import Failure, Progress, Result
from durably.protocol import messages
from durably.protocol.ids import parse_awakeable_id
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import INVOCATION_ID, V7, VERSIONS, feed, notification, only, opened, signal

T = MessageType


@pytest.mark.parametrize("version", VERSIONS)
def test_awakeables_are_numbered_from_17(version: ProtocolVersion):
    """Each awakeable has a signal of its own; its id names the invocation and the signal; nothing is written."""
    machine = opened(version=version)
    made = [machine.sys_awakeable() for _ in range(3)]
    assert [handle for _, handle in made] == [-17, -18, -19]
    assert [parse_awakeable_id(awakeable) for awakeable, _ in made] == [(INVOCATION_ID, 17 + n) for n in range(3)]
    assert made[0][0] == "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"
    assert machine.data_to_send() == b""


@pytest.mark.parametrize("result", [b"x", None, Failure(500, "no")])
def test_signals_bring_results(result: Result):
    """A signal brings a value, nothing or a failure, by number or by name."""
    machine = opened()
    _, awakeable = machine.sys_awakeable()
    named = machine.sys_signal("go")
    assert machine.progress(awakeable) is Progress.WAIT
    feed(machine, signal("go", result), signal(-17, result))
    assert machine.progress(awakeable) is Progress.READY
    assert machine.take(awakeable) == result
    assert machine.take(named) == result


def test_signals_may_come_before_they_are_awaited():
    """A signal that came early is kept; of several with one name the last one read counts."""
    machine = opened(signal("go", b"1"), signal("go", b"2"), signal("stop", b"3"))
    assert machine.progress(machine.sys_signal("stop")) is Progress.READY
    assert machine.take("go") == b"2"


@pytest.mark.parametrize("result", [b"x", b"", Failure(500, "no")])
def test_completing_awakeables(result: bytes | Failure):
    """Resolve and reject are one command."""
    machine = opened()
    machine.sys_complete_awakeable("sign_1abc", result, "label")
    command = only(machine, T.COMPLETE_AWAKEABLE)
    assert (command.awakeable_id, command.name) == ("sign_1abc", "label")
    assert command.WhichOneof("result") == ("failure" if isinstance(result, Failure) else "value")


@pytest.mark.parametrize("result", [b"x", b"", None, Failure(500, "no")])
@pytest.mark.parametrize("target", ["go", 18])
def test_sending_signals(result: bytes | Failure | None, target: str | int):
    """A signal is sent by name or number, with any result."""
    machine = opened()
    machine.sys_send_signal("inv_other", target, result, "label")
    command = only(machine, T.SEND_SIGNAL)
    assert command.target_invocation_id == "inv_other"
    assert command.entry_name == "label"
    assert (command.name, command.idx) == (target, 0) if isinstance(target, str) else ("", target)
    kinds = {type(None): "void", bytes: "value", Failure: "failure"}
    assert command.WhichOneof("result") == kinds[type(result)]


def test_cancelling_is_signal_one():
    """Cancelling another invocation sends it the built-in signal."""
    machine = opened()
    machine.sys_cancel("inv_other")
    assert only(machine, T.SEND_SIGNAL) == messages.SendSignalCommand(
        target_invocation_id="inv_other", idx=1, void=messages.Void()
    )


def test_core_promises():
    """Get, peek and complete take an id each, and bring what the runtime says."""
    machine = opened(version=V7)
    handles = [
        machine.sys_get_promise("p", "a"),
        machine.sys_peek_promise("p", "b"),
        machine.sys_complete_promise("p", b"", "c"),
        machine.sys_complete_promise("p", Failure(1, "f")),
    ]
    assert handles == [1, 2, 3, 4]
    feed(
        machine,
        notification(T.GET_PROMISE_COMPLETION, 1, b"v"),
        notification(T.PEEK_PROMISE_COMPLETION, 2, None),
        notification(T.COMPLETE_PROMISE_COMPLETION, 3, None),
        notification(T.COMPLETE_PROMISE_COMPLETION, 4, Failure(409, "already completed")),
    )
    assert machine.progress(4) is Progress.READY
    assert [machine.take(handle) for handle in handles] == [b"v", None, None, Failure(409, "already completed")]


def test_core_promise_commands():
    """The commands carry key, name, id and completion."""
    machine = opened()
    machine.sys_get_promise("p", "a")
    assert only(machine, T.GET_PROMISE) == messages.GetPromiseCommand(key="p", name="a", result_completion_id=1)
    machine.sys_peek_promise("p")
    assert only(machine, T.PEEK_PROMISE) == messages.PeekPromiseCommand(key="p", result_completion_id=2)
    machine.sys_complete_promise("p", b"")
    assert only(machine, T.COMPLETE_PROMISE) == messages.CompletePromiseCommand(
        key="p", result_completion_id=3, completion_value=messages.Value()
    )
