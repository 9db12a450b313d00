"""Commands against the journal: what matches, and what is refused how."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durably.errors import JournalMismatchError, LocalProtocolError, RemoteProtocolError, UnsupportedFeatureError
from durably.machine import ErrorBehavior, Failure, IdempotentTarget, Machine, MachineOptions, State, WorkflowTarget
from durably.protocol import messages
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import V5, V6, V7, VERSIONS, Entry, entry, frames_of, only, opened, start, written

T = MessageType
FAILED = Failure(500, "no")

COMMANDS: dict[str, tuple[Callable[[Machine], object], Callable[[Machine], object]]] = {
    "sleep": (lambda m: m.sys_sleep(1, "a"), lambda m: m.sys_sleep(1, "b")),
    "call": (lambda m: m.sys_call("S", "h", b"1"), lambda m: m.sys_call("S", "h", b"2")),
    "call key": (lambda m: m.sys_call("S", "h", b"1", key="a"), lambda m: m.sys_call("S", "h", b"1", key="b")),
    "call headers": (
        lambda m: m.sys_call("S", "h", b"1", headers=[("a", "1")]),
        lambda m: m.sys_call("S", "h", b"1", headers=[("a", "2")]),
    ),
    "send": (lambda m: m.sys_send("S", "h", b"1"), lambda m: m.sys_send("S", "other", b"1")),
    "set state": (lambda m: m.sys_set_state("a", b"1"), lambda m: m.sys_set_state("a", b"2")),
    "clear state": (lambda m: m.sys_clear_state("a"), lambda m: m.sys_clear_state("b")),
    "clear all state": (lambda m: m.sys_clear_all_state(), lambda m: m.sys_clear_all_state("named")),
    "get promise": (lambda m: m.sys_get_promise("a"), lambda m: m.sys_get_promise("b")),
    "peek promise": (lambda m: m.sys_peek_promise("a"), lambda m: m.sys_peek_promise("b")),
    "complete promise": (lambda m: m.sys_complete_promise("a", b"1"), lambda m: m.sys_complete_promise("a", FAILED)),
    "awakeable": (
        lambda m: m.sys_complete_awakeable("sign_1a", b"1"),
        lambda m: m.sys_complete_awakeable("sign_1a", b"2"),
    ),
    "signal": (lambda m: m.sys_send_signal("inv", "a", b"1"), lambda m: m.sys_send_signal("inv", "b", b"1")),
    "cancel": (lambda m: m.sys_cancel("inv_a"), lambda m: m.sys_cancel("inv_b")),
    "run": (lambda m: m.sys_run("a"), lambda m: m.sys_run("b")),
    "attach": (lambda m: m.sys_attach("inv_a"), lambda m: m.sys_attach(WorkflowTarget("W", "k"))),
    "get output": (
        lambda m: m.sys_get_output(IdempotentTarget("S", "h", "i")),
        lambda m: m.sys_get_output(IdempotentTarget("S", "h", "j")),
    ),
    "output": (lambda m: m.sys_output(b"1"), lambda m: m.sys_output(FAILED)),
}


def recorded(call: Callable[[Machine], object], version: ProtocolVersion = V6) -> Entry:
    """Give the entry that a call writes."""
    machine = opened(version=version)
    call(machine)
    (item,) = written(machine)
    return int(item.type), item.message.SerializeToString()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_core_the_same_command_is_taken_from_the_journal(name: str, version: ProtocolVersion):
    """A recorded command that is asked for again is not written again, and the replay is over."""
    call, _ = COMMANDS[name]
    machine = opened(recorded(call, version), version=version)
    assert machine.is_replaying
    call(machine)
    assert machine.state is State.PROCESSING
    assert machine.data_to_send() == b""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_core_the_same_command_with_other_contents_is_refused(name: str, version: ProtocolVersion):
    """A difference in content is a mismatch that names the command."""
    call, changed = COMMANDS[name]
    machine = opened(recorded(call, version), version=version)
    with pytest.raises(JournalMismatchError) as caught:
        changed(machine)
    assert caught.value.index == 1
    error = only(machine, T.ERROR)
    assert error.code == 570
    assert error.related_command_index == 1
    assert machine.state is State.FAILED


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "clear all state"])
def test_core_another_command_is_refused(name: str):
    """Another type of command is a mismatch that names both."""
    machine = opened(recorded(COMMANDS[name][0]))
    with pytest.raises(JournalMismatchError, match="clear all state") as caught:
        machine.sys_clear_all_state()
    assert caught.value.found == "clear all state"
    assert only(machine, T.ERROR).related_command_type == T.CLEAR_ALL_STATE


def test_core_times_are_not_compared():
    """Wake-up and invoke times are read from the clock, and differ on each attempt."""
    machine = opened(recorded(lambda m: m.sys_sleep(1)))
    machine.sys_sleep(2)
    assert machine.state is State.PROCESSING
    machine = opened(recorded(lambda m: m.sys_send("S", "h", b"", invoke_time_ms=5)))
    machine.sys_send("S", "h", b"", invoke_time_ms=0)
    assert machine.state is State.PROCESSING


def test_core_unstable_payloads():
    """Without payload checks other payloads are accepted, other results and other targets are not."""
    options = MachineOptions(check_payloads=False)
    for name, call in {
        "call": lambda m: m.sys_call("S", "h", b""),
        "set state": lambda m: m.sys_set_state("a", b"2"),
        "complete promise": lambda m: m.sys_complete_promise("a", b"2"),
        "awakeable": lambda m: m.sys_complete_awakeable("sign_1a", b"2"),
        "signal": lambda m: m.sys_send_signal("inv", "a", b"2"),
        "output": lambda m: m.sys_output(b"2"),
    }.items():
        machine = opened(recorded(COMMANDS[name][0]), options=options)
        call(machine)
        assert machine.state is State.PROCESSING
    for name in ("complete promise", "output", "send", "call key", "run"):
        machine = opened(recorded(COMMANDS[name][0]), options=options)
        with pytest.raises(JournalMismatchError):
            COMMANDS[name][1](machine)


def test_equal_contents_in_other_bytes_are_accepted():
    """Another writer may order fields otherwise; then contents decide."""
    stored = messages.RunCommand(result_completion_id=1).SerializeToString()
    name = messages.RunCommand(name="a").SerializeToString()
    machine = opened((int(T.RUN), name + stored))
    machine.sys_run("a")
    assert machine.state is State.PROCESSING


def test_the_mismatch_says_where():
    """The error knows both sides and the place in the handler, and all of it is in the Error frame."""
    machine = opened(recorded(lambda m: m.sys_run("charge")), locate=lambda: "shop.py:42")
    with pytest.raises(JournalMismatchError) as caught:
        machine.sys_call("Greeter", "greet", b"secret")
    error = caught.value
    assert (error.expected, error.found, error.location) == ("run 'charge'", "call Greeter/greet", "shop.py:42")
    text = only(machine, T.ERROR).message
    assert text == str(error)
    for part in ("command 1", "run 'charge'", "call Greeter/greet", "shop.py:42", "Likely cause"):
        assert part in text
    assert "secret" not in text


def test_the_place_may_be_unknown():
    """Without a place the text just leaves it out."""
    for locate in (None, lambda: None):
        machine = opened(recorded(lambda m: m.sys_run("a")), locate=locate)
        with pytest.raises(JournalMismatchError) as caught:
            machine.sys_run("b")
        assert caught.value.location is None
        assert "The call is at" not in str(caught.value)


@pytest.mark.parametrize("behavior", ErrorBehavior)
@pytest.mark.parametrize("version", VERSIONS)
def test_core_mismatch_behavior(behavior: ErrorBehavior, version: ProtocolVersion):
    """What a mismatch does to the invocation can be chosen since V7; before, the runtime retries."""
    machine = opened(
        recorded(lambda m: m.sys_run("a"), version), version=version, options=MachineOptions(mismatch_behavior=behavior)
    )
    with pytest.raises(JournalMismatchError):
        machine.sys_run("b")
    error = only(machine, T.ERROR)
    assert error.code == 570
    assert error.behavior == (behavior if version is V7 else ErrorBehavior.RETRY)


def test_other_errors_have_no_behavior():
    """The choice is about mismatches only."""
    machine = opened(version=V7, options=MachineOptions(mismatch_behavior=ErrorBehavior.PAUSE))
    with pytest.raises(LocalProtocolError):
        machine.sys_end()
    assert only(machine, T.ERROR).behavior == ErrorBehavior.RETRY


def test_unreadable_commands_are_the_peers_error():
    """A recorded command that cannot be read is no mismatch."""
    for call in (lambda m: m.sys_run("a"), lambda m: m.sys_sleep(1)):
        machine = opened((int(T.RUN), b"\xff"))
        with pytest.raises(RemoteProtocolError, match=r"RunCommand \(command 1\) cannot be decoded"):
            call(machine)
        assert only(machine, T.ERROR).code == 500


def test_unknown_commands_are_a_mismatch():
    """A command of a newer protocol cannot be what the handler asks for."""
    machine = opened((0x0499, b"whatever"))
    with pytest.raises(JournalMismatchError, match="unknown type 0x0499"):
        machine.sys_run("a")


def test_a_journal_without_commands_is_refused():
    """There must at least be the input."""
    machine = Machine(V6)
    machine.receive_data(start(1) + frames_of([(int(T.SIGNAL), messages.Notification(
        signal_id=17, void=messages.Void()).SerializeToString())]))  # fmt: skip
    with pytest.raises(LocalProtocolError, match="holds no command") as caught:
        machine.take_input()
    assert caught.value.code == 571


FAILING: dict[str, Callable[[Machine, Failure], object]] = {
    "output": lambda m, f: m.sys_output(f),
    "awakeable": lambda m, f: m.sys_complete_awakeable("sign_1a", f),
    "promise": lambda m, f: m.sys_complete_promise("p", f),
    "signal": lambda m, f: m.sys_send_signal("inv", "go", f),
}


@pytest.mark.parametrize("name", FAILING)
def test_core_metadata_of_failures_needs_v6(name: str):
    """Metadata travels since V6; before, it is refused before anything is written."""
    failure = Failure(1, "f", (("k", "v"),))
    machine = opened(version=V5)
    with pytest.raises(UnsupportedFeatureError, match="needs service protocol V6"):
        FAILING[name](machine, failure)
    assert only(machine, T.ERROR).code == 573
    newer = opened(version=V6)
    FAILING[name](newer, failure)
    (item,) = written(newer)
    message = item.message
    stored = message.completion_failure if item.type is T.COMPLETE_PROMISE else message.failure
    assert [(pair.key, pair.value) for pair in stored.metadata] == [("k", "v")]


def test_failures_may_hold_any_text():
    """A failure's text with lone surrogates is escaped, so that a handler can always fail."""
    machine = opened()
    machine.sys_output(Failure(1, "\ud800é"))
    assert only(machine, T.OUTPUT).failure.message == "\\ud800é"


def test_recorded_entries_are_counted():
    """The index in errors counts commands, not notifications, and Input is 0."""
    machine = opened(
        entry(T.RUN, result_completion_id=1),
        (int(T.RUN_COMPLETION), messages.Notification(completion_id=1, void=messages.Void()).SerializeToString()),
        entry(T.RUN, result_completion_id=2),
    )
    machine.sys_run()
    with pytest.raises(JournalMismatchError) as caught:
        machine.sys_sleep(1)
    assert caught.value.index == 2
