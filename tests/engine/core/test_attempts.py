"""Attempts: journaling, proposals, acknowledgements, violations, failures and retries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durably.engine.actions import Abort, ArmTimer, Deliver, Failed, StartAttempt
from durably.engine.core.failures import delay_ms
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted, Recover, RegisterDeployment
from durably.engine.records import AttemptFailure, EngineOptions, Limits, RetryPolicy, Status
from durably.protocol import messages
from durably.protocol.manifest import (
    HandlerManifest,
    OnMaxAttempts,
    RetryPolicyManifest,
    ServiceManifest,
    ServiceType,
)
from durably.protocol.messages import REQUESTED_ACK
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import SERVICES, Box, deployment, frame


def run(completion_id: int, name: str = ""):
    """A step's command."""
    return frame(T.RUN, messages.RunCommand(result_completion_id=completion_id, name=name))


def proposal(completion_id: int, value: bytes = b"v", flags: int = 0):
    """A step's result, as a service offers it."""
    message = messages.ProposeRunCompletion(result_completion_id=completion_id, value=value)
    return frame(T.PROPOSE_RUN_COMPLETION, message, flags)


def error(message: str = "boom", **fields: object):
    """A failed attempt."""
    return frame(T.ERROR, messages.Error(code=500, message=message, **fields))


def with_policy(on_max: OnMaxAttempts, attempts: int) -> Box:
    """A box whose service retries that often, without growing pauses."""
    policy = RetryPolicyManifest(
        initial_interval=timedelta(milliseconds=10),
        exponentiation_factor=1.0,
        max_attempts=attempts,
        on_max_attempts=on_max,
    )
    greeter = ServiceManifest(
        name="Greeter", type=ServiceType.SERVICE, handlers=(HandlerManifest(name="greet"),), retry_policy=policy
    )
    return Box((greeter,))


@pytest.mark.parametrize("version", [5, 6, 7])
def test_proposal_is_stored_and_answered(version: int):
    """A step's result is journaled as a notification; V7 with the flag gets an ack, others the notification."""
    box = Box(version=version)
    invocation_id = box.started()
    box.send(invocation_id, run(1), proposal(1, b"value", REQUESTED_ACK))
    assert box.types(invocation_id) == [T.INPUT, T.RUN, T.RUN_COMPLETION]
    assert box.last(invocation_id).value.content == b"value"
    (answer,) = box.delivered[invocation_id, 1]
    assert answer[0] == (T.PROPOSE_RUN_COMPLETION_ACK if version == 7 else T.RUN_COMPLETION)


def test_proposal_without_the_flag_is_echoed_in_v7():
    """The flag decides, not the version alone."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, run(1), proposal(1))
    assert box.delivered[invocation_id, 1][0][0] == T.RUN_COMPLETION


def test_second_result_of_a_step_is_refused():
    """A step keeps its first result; the attempt that proposes another fails and is cut."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, run(1), proposal(1, b"first"), proposal(1, b"second"))
    assert box.types(invocation_id) == [T.INPUT, T.RUN, T.RUN_COMPLETION]
    assert Abort(invocation_id, 1) in box.actions
    assert box.status(invocation_id) is Status.BACKING_OFF


def test_command_with_flag_is_acknowledged():
    """A command that asks for it gets an ack with its index among commands."""
    box = Box()
    invocation_id = box.started()
    command = run(1)
    box.send(invocation_id, (command[0], REQUESTED_ACK, command[2]))
    (answer,) = box.delivered[invocation_id, 1]
    assert answer[0] == T.COMMAND_ACK
    assert messages.CommandAck.FromString(answer[2]).command_index == 1


def test_journal_of_the_next_attempt_begins_with_that_of_the_last():
    """A retry gets every stored entry, byte for byte and in order, then may add to them."""
    box = Box()
    invocation_id = box.started(body=b"in")
    first = run(1, "step")
    box.send(invocation_id, first, proposal(1))
    box.fail(invocation_id)
    box.advance(1000)
    plan = box.plans[invocation_id][1]
    assert plan.attempt == 2
    assert plan.known_entries == 3
    assert [item[2] for item in plan.frames[1:]] == [entry.payload for entry in box.journal(invocation_id)]
    assert plan.frames[2][2] == first[2]


def test_frames_of_an_old_attempt_are_ignored():
    """What an attempt reports after another began, or after the end, changes nothing."""
    box = Box()
    invocation_id = box.started()
    box.fail(invocation_id)
    box.advance(1000)
    box.do(AttemptFrames(invocation_id, 1, (run(1),)))
    box.do(AttemptEnded(invocation_id, 1, None))
    assert box.types(invocation_id) == [T.INPUT]
    assert box.status(invocation_id) is Status.RUNNING
    box.output(invocation_id)
    assert box.do(AttemptFrames(invocation_id, 2, (run(1),))) == []
    assert box.do(AttemptEnded("inv_1" + "0" * 33, 1, None)) == []


def test_frames_behind_the_end_are_ignored():
    """Nothing counts that follows End in the same batch."""
    box = Box()
    invocation_id = box.started()
    result = messages.OutputCommand(value=messages.Value(content=b"x"))
    box.send(invocation_id, frame(T.OUTPUT, result), frame(T.END), run(1))
    assert box.types(invocation_id) == [T.INPUT, T.OUTPUT]


def test_output_and_end_in_different_attempts():
    """An output that was stored counts when a later attempt replays it and only ends."""
    box = Box()
    token = box.invoke()
    (invocation_id,) = box.plans
    box.send(invocation_id, frame(T.OUTPUT, messages.OutputCommand(value=messages.Value(content=b"x"))))
    box.fail(invocation_id)
    box.advance(1000)
    box.send(invocation_id, frame(T.END))
    assert box.replies[token].value == b"x"


def test_end_without_output_fails_the_attempt():
    """The caller is not answered by an End that has no output."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, frame(T.END))
    assert box.status(invocation_id) is Status.BACKING_OFF


@pytest.mark.parametrize(
    "bad",
    [
        frame(T.START),
        frame(T.COMMAND_ACK),
        frame(T.PROPOSE_RUN_COMPLETION_ACK),
        frame(T.RUN_COMPLETION),
        frame(T.SIGNAL),
        frame(T.INPUT),
        (0x040F, 0, b""),
        (0xFC01, 0, b""),
        (int(T.RUN), 0, b"\xff\xff"),
        (int(T.OUTPUT), 0, b""),
        (int(T.PROPOSE_RUN_COMPLETION), 0, b""),
        (int(T.SUSPENSION), 0, b""),
        (int(T.SEND_SIGNAL), 0, b""),
    ],
    ids=lambda item: f"{item[0]:#06x}",
)
def test_violations_fail_the_attempt(bad: tuple[int, int, bytes]):
    """What a service may not send cuts its attempt, stores nothing of it, and is retried."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, bad)
    assert Abort(invocation_id, 1) in box.actions
    assert box.types(invocation_id) == [T.INPUT]
    assert box.status(invocation_id) is Status.BACKING_OFF
    failure = box.get(invocation_id).last_failure
    assert failure is not None
    assert failure.doc_code in ("RT0012", "RT0017")


def test_what_came_before_a_violation_is_kept():
    """Commands that were right stay journaled when a later one in the batch is wrong."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, run(1), frame(T.START))
    assert box.types(invocation_id) == [T.INPUT, T.RUN]


@pytest.mark.parametrize(
    ("command", "doc_code"),
    [
        (messages.CallCommand(service_name="Nobody", handler_name="x"), "RT0018"),
        (messages.CallCommand(service_name="Greeter", handler_name="x"), "RT0018"),
        (messages.CallCommand(service_name="Greeter", handler_name="greet", key="k"), "RT0017"),
        (messages.CallCommand(service_name="Greeter", handler_name="greet", idempotency_key=""), "RT0017"),
        (messages.CallCommand(service_name="Greeter", handler_name="greet", scope="s"), "RT0024"),
        (messages.CallCommand(service_name="Greeter", handler_name="greet", limit_key="s"), "RT0024"),
    ],
    ids=["service", "handler", "key", "idempotency key", "scope", "limit key"],
)
def test_calls_that_cannot_be_are_retried(command: messages.CallCommand, doc_code: str):
    """A call of what is not there, or with wrong arguments, fails the attempt and never the handler's code."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, frame(T.CALL, command))
    failure = box.get(invocation_id).last_failure
    assert failure is not None
    assert failure.doc_code == doc_code
    assert box.status(invocation_id) is Status.BACKING_OFF


def test_commands_of_another_kind_of_service():
    """Promises outside a workflow and state reads without a key fail the attempt with RT0017."""
    for command in (
        frame(T.GET_PROMISE, messages.GetPromiseCommand(key="p", result_completion_id=1)),
        frame(T.GET_LAZY_STATE, messages.GetLazyStateCommand(key=b"k", result_completion_id=1)),
        frame(T.GET_EAGER_STATE, messages.GetEagerStateCommand(key=b"k")),
    ):
        box = Box()
        invocation_id = box.started()
        box.send(invocation_id, command)
        failure = box.get(invocation_id).last_failure
        assert failure is not None
        assert failure.doc_code == "RT0017"


def test_pauses_grow_up_to_the_longest():
    """Each pause doubles until the longest, with jitter of up to 30 percent and at least 3 ms."""
    policy = RetryPolicy()
    assert [delay_ms(policy, n, 0.0) for n in (1, 2, 3, 8, 2000)] == [500, 1000, 2000, 60_000, 60_000]
    assert delay_ms(policy, 1, 0.999) == 649
    assert delay_ms(RetryPolicy(initial_interval_ms=0), 1, 0.999) == 2


def test_retry_comes_when_it_is_due():
    """The next attempt begins when its pause is over, and not before."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, error())
    due = box.get(invocation_id).next_retry_at
    assert due is not None
    assert 500 <= due - box.now <= 650
    assert ArmTimer(due) in box.actions
    box.advance(due - box.now - 1)
    assert len(box.plans[invocation_id]) == 1
    box.advance(1)
    assert len(box.plans[invocation_id]) == 2
    assert box.start_of(invocation_id).retry_count_since_last_stored_entry == 1


def test_asked_for_delays_use_up_no_attempt():
    """`next_retry_delay` replaces the pause once, as often as it is asked for."""
    box = with_policy(OnMaxAttempts.PAUSE, 2)
    invocation_id = box.started()
    for _ in range(5):
        box.send(invocation_id, error(next_retry_delay=7))
        assert box.get(invocation_id).next_retry_at == box.now + 7
        box.advance(7)
    box.fail(invocation_id, AttemptFailure(503, "later", retry_after_ms=2000))
    assert box.get(invocation_id).next_retry_at == box.now + 2000
    box.advance(2000)
    box.send(invocation_id, error())
    assert box.status(invocation_id) is Status.BACKING_OFF


def test_used_up_attempts_pause():
    """With the last attempt failed the invocation is paused; it keeps why."""
    box = with_policy(OnMaxAttempts.PAUSE, 3)
    invocation_id = box.started()
    for _ in range(3):
        box.send(invocation_id, error("again"))
        box.advance(20)
    invocation = box.get(invocation_id)
    assert invocation.status is Status.PAUSED
    assert invocation.attempt == 3
    assert invocation.last_failure is not None
    assert invocation.last_failure.message == "again"


def test_used_up_attempts_kill():
    """With `KILL` the caller gets the last failure."""
    box = with_policy(OnMaxAttempts.KILL, 1)
    token = box.invoke()
    (invocation_id,) = box.plans
    box.send(invocation_id, error("final"))
    assert box.replies[token] == Failed(500, "final", invocation_id=invocation_id)


def test_suspension_gives_all_attempts_back():
    """Attempts count from the last activation; journal progress alone does not reset them."""
    box = with_policy(OnMaxAttempts.PAUSE, 2)
    invocation_id = box.started()
    box.send(invocation_id, run(1), error())
    box.advance(20)
    assert box.get(invocation_id).retry_count == 1
    box.send(invocation_id, proposal(1))
    box.suspend(invocation_id, 1)
    assert box.get(invocation_id).retry_count == 0
    box.send(invocation_id, error())
    assert box.status(invocation_id) is Status.BACKING_OFF


def test_retry_count_of_start_resets_with_a_command():
    """A new command sets the count back, a step's result does not."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, run(1), error())
    box.advance(1000)
    box.send(invocation_id, proposal(1), error())
    assert box.get(invocation_id).retries_since_entry == 2
    box.advance(2000)
    start = box.start_of(invocation_id)
    assert start.retry_count_since_last_stored_entry == 2
    assert start.duration_since_last_stored_entry == 3000
    box.send(invocation_id, run(2), error())
    assert box.get(invocation_id).retries_since_entry == 1


def test_version_behaviours():
    """Since V7 an error may ask for a pause or for the end; before it is an ordinary failure."""
    for version, behavior, status in (
        (7, 1, Status.PAUSED),
        (7, 2, Status.COMPLETED),
        (6, 1, Status.BACKING_OFF),
        (6, 2, Status.BACKING_OFF),
    ):
        box = Box(version=version)
        invocation_id = box.started()
        box.send(invocation_id, error(behavior=behavior))
        assert box.status(invocation_id) is status


def test_long_journals_pause():
    """A command beyond the limit pauses the invocation at once; everything before it is kept."""
    box = Box(options=EngineOptions(limits=Limits(journal_entries=3)))
    invocation_id = box.started()
    box.send(invocation_id, run(1), proposal(1), run(2))
    assert box.status(invocation_id) is Status.PAUSED
    assert len(box.journal(invocation_id)) == 3


def test_pinned_to_the_deployment_that_wrote_first():
    """An attempt that wrote nothing pins nothing; the first entry keeps deployment and version."""
    box = Box()
    fresh, begun = box.started(), box.started()
    box.send(begun, run(1))
    box.do(RegisterDeployment(deployment(2, highest=6), SERVICES))
    for invocation_id in (fresh, begun):
        box.fail(invocation_id)
    box.advance(1000)
    assert box.plans[fresh][-1].deployment.id == "dp_2"
    assert box.plans[fresh][-1].version == 6
    assert box.plans[begun][-1].deployment.id == "dp_1"
    assert box.plans[begun][-1].version == 7


def test_no_common_version_is_retried():
    """A deployment that only speaks newer versions than the engine may makes the attempt fail with RT0013."""
    box = Box(options=EngineOptions(max_protocol_version=6))
    box.do(RegisterDeployment(deployment(2, lowest=7), SERVICES))
    invocation_id = box.started()
    failure = box.get(invocation_id).last_failure
    assert failure is not None
    assert failure.doc_code == "RT0013"
    assert box.status(invocation_id) is Status.BACKING_OFF
    assert box.get(invocation_id).retries_since_entry == 0


def test_recovery_starts_what_was_going_on():
    """After a start-up running and backing off invocations get new attempts; the others are left alone."""
    box = Box()
    running, failed, suspended = (box.started() for _ in range(3))
    box.fail(failed)
    box.suspend(suspended, 1)
    actions = box.do(Recover())
    assert {action.invocation_id for action in actions if isinstance(action, StartAttempt)} == {running, failed}
    assert box.get(running).attempt == box.get(failed).attempt == 2
    assert box.read(lambda reader: reader.next_timer()) is None
    box.advance(60_000)
    assert box.get(failed).attempt == 2


def test_long_journals_are_read_by_a_reader():
    """The plan of a long journal does not come with the start; a reader makes the same one."""
    box = Box()
    invocation_id = box.started()
    for number in range(1, 101):
        box.send(invocation_id, run(number), proposal(number))
    box.fail(invocation_id)
    box.advance(1000)
    (start,) = [action for action in box.actions if isinstance(action, StartAttempt)]
    assert start.plan is None
    assert len(box.plans[invocation_id][-1].frames) == 202


def test_deliveries_know_their_index():
    """A delivered notification names its place, so that one that a plan has already is not sent twice."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, run(1), run(2), proposal(2))
    (delivery,) = [action for action in box.actions if isinstance(action, Deliver)]
    assert delivery.indexes == (3,)


def test_server_name_is_kept_for_operators():
    """What answered is noted for the attempt."""
    box = Box()
    invocation_id = box.started()
    box.do(AttemptStarted(invocation_id, 1, "sdk/1.0"))
    assert box.get(invocation_id).attempt_server == "sdk/1.0"


@pytest.mark.parametrize("is_over", [False, True])
def test_what_is_awaited_is_kept_while_it_is(is_over: bool):
    """What a handler waits for is noted for operators until it goes on, unless its result came with the message."""
    box = Box()
    invocation_id = box.started()
    future = messages.Future(waiting_completions=[1], waiting_signals=[1], combinator_type=1)
    sent = [run(1), proposal(1)] if is_over else [run(1)]
    box.send(invocation_id, *sent, frame(T.AWAITING_ON, messages.AwaitingOn(awaiting_on=future)))
    assert box.get(invocation_id).awaiting_on == (None if is_over else future.SerializeToString())
    box.send(invocation_id, run(2), proposal(2))
    assert box.get(invocation_id).awaiting_on is None  # the handler went on


def test_nothing_is_delivered_to_an_attempt_that_is_over():
    """What the last messages of an attempt bring goes with the next attempt's journal, or nowhere."""
    box = Box()
    invocation_id = box.started()
    future = messages.Future(waiting_completions=[1], combinator_type=1)
    suspension = frame(T.SUSPENSION, messages.Suspension(awaiting_on=future))
    box.send(invocation_id, run(1), proposal(1), suspension)
    assert [type(action) for action in box.actions] == [StartAttempt]
    result = messages.OutputCommand(value=messages.Value(content=b"x"))
    box.send(invocation_id, run(2), proposal(2), frame(T.OUTPUT, result), frame(T.END))
    assert not any(isinstance(action, Deliver) for action in box.actions)
