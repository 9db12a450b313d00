"""Durable steps: journaled, executed once, proposed, retried."""

from __future__ import annotations

import pytest

from durably.errors import JournalMismatchError, LocalProtocolError, UnsupportedFeatureError
from durably.machine import (
    Combinator,
    Combined,
    ErrorBehavior,
    Failure,
    Machine,
    OnExhausted,
    Progress,
    RunRetryPolicy,
    State,
)
from durably.protocol import messages
from durably.protocol.messages import REQUESTED_ACK, MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import V5, V6, V7, VERSIONS, ack, entry, feed, only, opened, run_done, written

T = MessageType
PAUSE = RunRetryPolicy(max_attempts=1, on_exhausted=OnExhausted.PAUSE)


def executing(machine: Machine, name: str = "step") -> int:
    """Journal a step, await it, and get it to execute."""
    handle = machine.sys_run(name)
    assert machine.progress(handle) is Progress.EXECUTE_RUN
    assert machine.run_to_execute == handle
    machine.data_to_send()
    return handle


@pytest.mark.parametrize("name", ["", "a", "é", "x" * 127, "x" * 128, "é" * 64])
@pytest.mark.parametrize("before", [0, 126, 127, 128, 16382, 16383])
def test_the_command_is_the_same_written_by_hand(name: str, before: int):
    """Names and ids on both sides of every length at which encodings grow are written as the serializer would."""
    machine = opened()
    for _ in range(before):
        machine.sys_run()
    machine.data_to_send()
    handle = machine.sys_run(name)
    expected = messages.RunCommand(result_completion_id=handle, name=name)
    data = machine.data_to_send()
    assert data[8:] == expected.SerializeToString()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20000])
@pytest.mark.parametrize("before", [0, 126, 127])
def test_the_proposal_is_the_same_written_by_hand(size: int, before: int):
    """Results and ids on both sides of the limit of the short way are written as the serializer would."""
    machine = opened()
    for _ in range(before):
        machine.sys_run()
    handle = executing(machine)
    machine.propose_run_success(handle, b"x" * size)
    expected = messages.ProposeRunCompletion(result_completion_id=handle, value=b"x" * size)
    assert machine.data_to_send()[8:] == expected.SerializeToString()


@pytest.mark.parametrize("version", [V5, V6])
@pytest.mark.parametrize("result", [b"ok", Failure(402, "no")])
def test_core_propose_then_complete(version: ProtocolVersion, result: bytes | Failure):
    """V5 and V6: the result is proposed without asking for an ack, and comes back whole."""
    machine = opened(version=version)
    handle = executing(machine)
    if isinstance(result, Failure):
        machine.propose_run_failure(handle, result)
    else:
        machine.propose_run_success(handle, result)
    (item,) = written(machine)
    assert (item.type, item.flags, item.message.result_completion_id) == (T.PROPOSE_RUN_COMPLETION, 0, handle)
    assert machine.progress(handle) is Progress.WAIT
    feed(machine, run_done(handle, result))
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) == result


@pytest.mark.parametrize("result", [b"ok", Failure(402, "no", (("k", "v"),))])
def test_core_propose_then_ack(result: bytes | Failure):
    """V7: the result is kept here, and becomes visible where the ack stands among the notifications."""
    machine = opened(version=V7)
    handle = executing(machine)
    sleep = machine.sys_sleep(1)
    machine.data_to_send()
    if isinstance(result, Failure):
        machine.propose_run_failure(handle, result)
    else:
        machine.propose_run_success(handle, result)
    (item,) = written(machine)
    assert item.flags == REQUESTED_ACK
    both = Combined(Combinator.FIRST_COMPLETED, (handle, sleep))
    assert machine.progress(both) is Progress.WAIT
    feed(machine, (int(T.SLEEP_COMPLETION), messages.Notification(
        completion_id=sleep, void=messages.Void()).SerializeToString()))  # fmt: skip
    machine.receive_data(ack(handle))
    assert machine.progress(both) is Progress.READY
    assert not machine.is_completed(handle)
    assert machine.take(sleep) is None
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) == result


@pytest.mark.parametrize("version", VERSIONS)
def test_core_propose_then_suspend(version: ProtocolVersion):
    """With the input closed the proposal is followed by a suspension on the step's completion."""
    machine = opened(version=version, eof=True)
    handle = executing(machine)
    assert machine.progress(handle) is Progress.WAIT
    assert machine.data_to_send() == b""
    machine.propose_run_success(handle, b"ok")
    assert machine.progress(handle) is Progress.SUSPENDED
    assert [item.type for item in written(machine)] == [T.PROPOSE_RUN_COMPLETION, T.SUSPENSION]


@pytest.mark.parametrize("version", VERSIONS)
def test_core_replay_with_completion(version: ProtocolVersion):
    """A step whose completion was recorded is not executed, read or unread."""
    machine = opened(
        entry(T.RUN, result_completion_id=1), run_done(1), entry(T.RUN, result_completion_id=2), run_done(2),
        version=version,
    )  # fmt: skip
    first, second = machine.sys_run(), machine.sys_run()
    assert machine.state is State.PROCESSING
    assert machine.run_is_recorded(first)
    assert machine.run_is_recorded(second)
    assert machine.progress(second) is Progress.READY
    assert machine.is_completed(first)
    assert machine.data_to_send() == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_core_replay_without_completion(version: ProtocolVersion):
    """A step that was recorded without a completion is executed again, and its command not written again."""
    machine = opened(entry(T.RUN, result_completion_id=1, name="step"), version=version)
    handle = machine.sys_run("step")
    assert not machine.run_is_recorded(handle)
    assert machine.progress(handle) is Progress.EXECUTE_RUN
    assert machine.data_to_send() == b""


def test_core_steps_are_handed_out_once_in_order():
    """Of several awaited steps each is handed out once, the oldest first; others are left alone."""
    machine = opened()
    handles = [machine.sys_run(name) for name in "abc"]
    tree = Combined(Combinator.ALL_COMPLETED, (handles[2], handles[1]))
    found = []
    while machine.progress(tree) is Progress.EXECUTE_RUN:
        found.append(machine.run_to_execute)
    assert found == handles[1:]
    assert machine.progress(handles[0]) is Progress.EXECUTE_RUN


def test_core_a_notification_comes_before_an_execution():
    """A race that something delivered already wins does not start the step."""
    machine = opened()
    run, sleep = machine.sys_run(), machine.sys_sleep(1)
    feed(machine, run_done(sleep))
    assert machine.progress(Combined(Combinator.FIRST_COMPLETED, (run, sleep))) is Progress.READY


def test_core_await_of_a_step_after_the_code_changed():
    """A recorded step without completion, awaited while commands follow: an await was added, and the step is named."""
    machine = opened(
        entry(T.RUN, result_completion_id=1, name="charge"), entry(T.SLEEP, wake_up_time=1, result_completion_id=2)
    )
    handle = machine.sys_run("charge")
    with pytest.raises(JournalMismatchError, match="await was added") as caught:
        machine.progress(handle)
    assert "run 'charge'" in str(caught.value)
    error = only(machine, T.ERROR)
    assert (error.code, error.related_command_index, error.related_command_name) == (570, 1, "charge")


@pytest.mark.parametrize("version", VERSIONS)
def test_proposals_are_ignored_when_closed(version: ProtocolVersion):
    """A step that finishes after the attempt ended proposes nothing."""
    machine = opened(version=version)
    handle = executing(machine)
    machine.fail(message="over")
    machine.data_to_send()
    machine.propose_run_success(handle, b"")
    machine.propose_run_failure(handle, Failure(1, ""))
    assert not machine.propose_run_error(handle, message="x", attempt_duration_ms=0, policy=RunRetryPolicy())
    assert machine.data_to_send() == b""


def test_proposals_are_for_steps_that_wait():
    """A proposal for anything else is a mistake of the host that ends the attempt."""
    for propose in (
        lambda machine: machine.propose_run_success(7, b""),
        lambda machine: machine.propose_run_success(-17, b""),
        lambda machine: machine.propose_run_failure(7, Failure(1, "")),
        lambda machine: machine.propose_run_error(7, message="", attempt_duration_ms=0, policy=RunRetryPolicy()),
    ):
        machine = opened()
        with pytest.raises(LocalProtocolError, match="no step that waits") as caught:
            propose(machine)
        assert caught.value.code == 571
        assert only(machine, T.ERROR).code == 571


def test_a_step_is_proposed_once():
    """A second result of the same step is refused."""
    machine = opened()
    handle = executing(machine)
    machine.propose_run_success(handle, b"")
    with pytest.raises(LocalProtocolError):
        machine.propose_run_success(handle, b"")


def test_a_step_may_be_proposed_before_it_is_handed_out():
    """A host that knows the result earlier may say so."""
    machine = opened()
    handle = machine.sys_run()
    machine.propose_run_success(handle, b"early")
    assert machine.progress(handle) is Progress.WAIT


def test_metadata_needs_v6():
    """A terminal failure of a step may have metadata since V6."""
    machine = opened(version=V5)
    handle = executing(machine)
    with pytest.raises(UnsupportedFeatureError):
        machine.propose_run_failure(handle, Failure(1, "", (("k", "v"),)))
    assert only(machine, T.ERROR).code == 573


def failed(machine: Machine, handle: int, policy: RunRetryPolicy, **more: int) -> bool:
    """Report a failure of a step."""
    arguments = {"attempt_duration_ms": 10, **more}
    return machine.propose_run_error(handle, message="flaky", stacktrace="st", policy=policy, **arguments)  # type: ignore[arg-type]


def test_core_a_failed_step_ends_the_attempt():
    """A failure to be retried is an Error with the delay and the step's command."""
    machine = opened()
    handle = executing(machine, "charge")
    assert not failed(machine, handle, RunRetryPolicy(initial_interval_ms=50))
    error = only(machine, T.ERROR)
    assert (error.code, error.message, error.stacktrace, error.next_retry_delay) == (500, "flaky", "st", 50)
    assert (error.related_command_index, error.related_command_name, error.related_command_type) == (1, "charge", T.RUN)
    assert machine.state is State.FAILED


def test_core_infinite_retries_ask_for_no_delay():
    """By default the runtime's policy decides; a delay that the step asked for is passed on."""
    machine = opened()
    assert not failed(machine, executing(machine), RunRetryPolicy.infinite())
    assert not only(machine, T.ERROR).HasField("next_retry_delay")
    machine = opened()
    assert not failed(machine, executing(machine), RunRetryPolicy.infinite(), retry_after_ms=0)
    assert only(machine, T.ERROR).HasField("next_retry_delay")


def test_core_an_exhausted_step_fails_for_good():
    """Without further retries the failure is proposed as the step's result, with its code."""
    machine = opened()
    handle = executing(machine)
    assert failed(machine, handle, RunRetryPolicy.none(), code=503)
    assert only(machine, T.PROPOSE_RUN_COMPLETION).failure == messages.Failure(code=503, message="flaky")
    assert machine.progress(handle) is Progress.WAIT


RETRIED = {"retry_count_since_last_stored_entry": 2, "duration_since_last_stored_entry": 5000}


def recorded_step(**start_fields: int) -> tuple[Machine, int]:
    """Give a machine that executes a step which an earlier attempt recorded."""
    machine = opened(entry(T.RUN, result_completion_id=1, name="step"), **start_fields)
    return machine, executing(machine)


def test_core_retries_are_counted_over_attempts():
    """The counters of Start are about the step that was recorded last."""
    machine, handle = recorded_step(**RETRIED)
    assert not failed(machine, handle, RunRetryPolicy(initial_interval_ms=50, max_attempts=4))
    assert only(machine, T.ERROR).next_retry_delay == 200
    machine, handle = recorded_step(**RETRIED)
    assert failed(machine, handle, RunRetryPolicy(initial_interval_ms=50, max_attempts=3))


def test_core_durations_are_counted_over_attempts():
    """The time of earlier attempts and of this execution together reach the limit."""
    machine, handle = recorded_step(**RETRIED)
    assert not failed(machine, handle, RunRetryPolicy(max_duration_ms=5011))
    machine, handle = recorded_step(**RETRIED)
    assert failed(machine, handle, RunRetryPolicy(max_duration_ms=5010))


def test_core_waiting_is_no_retrying():
    """Without failed attempts the duration of Start is time spent waiting, and does not count."""
    machine, handle = recorded_step(duration_since_last_stored_entry=5000)
    assert not failed(machine, handle, RunRetryPolicy(max_duration_ms=5000))


def test_core_a_new_step_counts_from_zero():
    """The counters of Start are about what was recorded before, not about a step that is new."""
    machine = opened(**RETRIED)
    assert not failed(machine, executing(machine), RunRetryPolicy(initial_interval_ms=50, max_attempts=2))
    assert only(machine, T.ERROR).next_retry_delay == 50


def test_core_a_new_command_resets_the_count():
    """Once something new was recorded in this attempt, a recorded step counts from zero too."""
    machine, handle = recorded_step(**RETRIED)
    machine.sys_set_state("a", b"")
    assert not failed(machine, handle, RunRetryPolicy(initial_interval_ms=50, max_attempts=2))


def test_core_pause_on_exhaustion():
    """V7 can pause the invocation instead of failing the step."""
    machine = opened(version=V7)
    assert not failed(machine, executing(machine, "charge"), PAUSE)
    error = only(machine, T.ERROR)
    assert error.behavior == ErrorBehavior.PAUSE
    assert error.related_command_name == "charge"
    assert not error.HasField("next_retry_delay")


@pytest.mark.parametrize("version", [V5, V6])
def test_core_pause_needs_v7(version: ProtocolVersion):
    """Asking for it before V7 is an error, also while retries are left."""
    machine = opened(version=version)
    handle = executing(machine)
    with pytest.raises(UnsupportedFeatureError):
        failed(machine, handle, RunRetryPolicy(max_attempts=9, on_exhausted=OnExhausted.PAUSE))
    assert only(machine, T.ERROR).code == 573


def test_an_interrupted_step_is_handed_out_again():
    """A step that was taken back waits for its execution as before; one that was not handed out is left alone."""
    machine = opened()
    handle = machine.sys_run("step")
    machine.take_run_back(handle)
    for _ in range(2):
        assert machine.progress(handle) is Progress.EXECUTE_RUN
        assert machine.progress(handle) is Progress.WAIT
        machine.take_run_back(handle)
    assert machine.progress(handle) is Progress.EXECUTE_RUN
