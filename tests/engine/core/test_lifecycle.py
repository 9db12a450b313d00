"""Operators: cancel, kill, pause, resume, purge; attach and output; signals to whoever is there or not."""

from __future__ import annotations

import pytest

from durably.engine.actions import Abort, Done, Failed, FailureSource, HalfClose, NotReady, Success
from durably.engine.events import (
    Attach,
    Cancel,
    CompleteAwakeable,
    GetOutput,
    IdempotentSelector,
    InvocationSelector,
    Kill,
    Pause,
    Purge,
    RegisterDeployment,
    Resume,
    Selector,
    SendSignal,
    WorkflowSelector,
)
from durably.engine.records import EngineOptions, Failure, Limits, Status
from durably.protocol import messages
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import SERVICES, Box, deployment, frame

UNKNOWN = "inv_1" + "0" * 33


def ask(box: Box, operation: type[Cancel | Kill | Pause | Resume | Purge], invocation_id: str, *arguments: object):
    """Do an operation; give the answer."""
    token = box.token()
    box.do(operation(invocation_id, *arguments, reply=token))
    return box.replies[token]


def in_state(box: Box, status: Status) -> str:
    """An invocation with a status."""
    if status is Status.SCHEDULED:
        return box.replies[box.invoke(send=True, delay_ms=1000)].invocation_id
    if status is Status.INBOXED:
        box.started("Counter/add", key="k")
        return box.started("Counter/add", key="k")
    invocation_id = box.started()
    if status is Status.SUSPENDED:
        box.suspend(invocation_id, 1)
    elif status is not Status.RUNNING:
        if status is Status.COMPLETED:
            box.output(invocation_id)
        else:
            box.fail(invocation_id)
        if status is Status.PAUSED:
            box.do(Pause(invocation_id))
    assert box.status(invocation_id) is status
    return invocation_id


@pytest.mark.parametrize("operation", [Cancel, Kill, Pause, Resume, Purge])
def test_unknown_invocations(operation: type[Cancel | Kill | Pause | Resume | Purge]):
    """Every operation on what does not exist is answered with 404."""
    answer = ask(Box(), operation, UNKNOWN)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.source) == (404, FailureSource.ADMIN)


@pytest.mark.parametrize(
    ("operation", "status", "code"),
    [
        (Cancel, Status.COMPLETED, 409),
        (Kill, Status.COMPLETED, 409),
        (Pause, Status.COMPLETED, 409),
        (Pause, Status.SCHEDULED, 409),
        (Pause, Status.INBOXED, 409),
        (Resume, Status.COMPLETED, 409),
        (Resume, Status.SCHEDULED, 425),
        (Resume, Status.INBOXED, 425),
        *((Purge, status, 409) for status in Status if status is not Status.COMPLETED),
    ],
)
def test_refusals(operation: type[Cancel | Kill | Pause | Resume | Purge], status: Status, code: int):
    """What does not fit the status is refused and changes nothing."""
    box = Box()
    invocation_id = in_state(box, status)
    answer = ask(box, operation, invocation_id)
    assert isinstance(answer, Failed)
    assert answer.code == code
    assert box.status(invocation_id) is status


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.INBOXED])
def test_cancel_before_the_start_ends_at_once(status: Status):
    """An invocation that has not started completes with 409 and never runs."""
    box = Box()
    invocation_id = in_state(box, status)
    attach = box.token()
    box.do(Attach(InvocationSelector(invocation_id), attach))
    assert ask(box, Cancel, invocation_id) == Done()
    assert box.replies[attach] == Failed(409, "canceled", invocation_id=invocation_id)
    box.advance(2000)
    assert invocation_id not in box.plans


@pytest.mark.parametrize("status", [Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.PAUSED])
def test_cancel_after_the_start_is_a_signal(status: Status):
    """An invocation that has started gets the signal, and an attempt that can act on it."""
    box = Box()
    invocation_id = in_state(box, status)
    assert ask(box, Cancel, invocation_id) == Done(appended=True)
    assert box.last(invocation_id).signal_id == 1
    assert box.status(invocation_id) is Status.RUNNING
    if status is Status.RUNNING:
        assert box.delivered[invocation_id, 1][0][0] == T.SIGNAL


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.COMPLETED])
def test_kill_ends_in_every_state(status: Status):
    """A kill completes with 409, whatever goes on, cuts an open attempt, and leaves no timer."""
    box = Box()
    invocation_id = in_state(box, status)
    attach = box.token()
    box.do(Attach(InvocationSelector(invocation_id), attach))
    assert ask(box, Kill, invocation_id) == Done()
    assert box.replies[attach] == Failed(409, "killed", invocation_id=invocation_id)
    assert (Abort(invocation_id, 1) in box.actions) == (status is Status.RUNNING)
    assert box.read(lambda reader: reader.next_timer()) is None


def test_kill_reaches_all_children():
    """The engine kills calls and sends of every depth; a finished child keeps its result."""
    box = Box()
    top = box.started()

    def call(parent: str, completion: int) -> str:
        command = messages.OneWayCallCommand(
            service_name="Greeter", handler_name="greet", invocation_id_notification_idx=completion
        )
        box.send(parent, frame(T.ONE_WAY_CALL, command))
        return box.last(parent).invocation_id

    done, running = call(top, 1), call(top, 2)
    box.output(done)
    grandchild = call(running, 1)
    box.suspend(grandchild, 1)
    ask(box, Kill, top)
    assert {box.status(invocation_id) for invocation_id in (top, done, running, grandchild)} == {Status.COMPLETED}
    assert box.read(lambda reader: reader.result(done)) == b"done"
    assert box.read(lambda reader: reader.result(grandchild)) == Failure(409, "killed")


def test_killed_child_fails_its_caller():
    """A handler that waits for a killed invocation gets the failure."""
    box = Box()
    parent = box.started()
    command = messages.CallCommand(
        service_name="Greeter", handler_name="greet", invocation_id_notification_idx=1, result_completion_id=2
    )
    box.send(parent, frame(T.CALL, command))
    ask(box, Kill, box.last(parent).invocation_id)
    assert box.last(parent).failure.code == 409
    assert box.last(parent).failure.message == "killed"


def test_pause_takes_effect_at_the_suspension():
    """A pause of a running attempt ends its request, and the suspension that follows becomes the pause."""
    box = Box()
    invocation_id = box.started()
    assert ask(box, Pause, invocation_id) == Done(appended=True)
    assert HalfClose(invocation_id, 1) in box.actions
    box.suspend(invocation_id, 1)
    assert box.status(invocation_id) is Status.PAUSED
    assert ask(box, Pause, invocation_id) == Done()


def test_pause_takes_effect_at_a_failure():
    """So does a failed attempt."""
    box = Box()
    invocation_id = box.started()
    ask(box, Pause, invocation_id)
    box.fail(invocation_id)
    assert box.status(invocation_id) is Status.PAUSED
    assert box.read(lambda reader: reader.next_timer()) is None


def test_pause_while_backing_off():
    """The pause is there at once, and the retry does not come."""
    box = Box()
    invocation_id = in_state(box, Status.BACKING_OFF)
    ask(box, Pause, invocation_id)
    box.advance(60_000)
    assert box.status(invocation_id) is Status.PAUSED


def test_completion_while_paused_stays_paused():
    """Notifications are stored for a paused invocation, which then goes on with them when it is resumed."""
    box = Box()
    invocation_id = box.started()
    sleep = messages.SleepCommand(wake_up_time=box.now + 10, result_completion_id=1)
    box.send(invocation_id, frame(T.SLEEP, sleep))
    ask(box, Pause, invocation_id)
    box.suspend(invocation_id, 1)
    box.advance(10)
    box.do(SendSignal(invocation_id, "n", b""))
    assert box.status(invocation_id) is Status.PAUSED
    assert box.types(invocation_id)[-2:] == [T.SLEEP_COMPLETION, T.SIGNAL]
    assert ask(box, Resume, invocation_id) == Done()
    assert box.plans[invocation_id][-1].known_entries == 4


def test_resume_gives_all_attempts_back():
    """After a resumption the retry policy starts anew."""
    box = Box()
    invocation_id = in_state(box, Status.BACKING_OFF)
    assert ask(box, Resume, invocation_id) == Done()
    assert box.get(invocation_id).retry_count == 0
    assert box.status(invocation_id) is Status.RUNNING


def test_resume_on_another_deployment():
    """`latest` or an id moves the invocation; a version that it does not speak is refused."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, frame(T.RUN, messages.RunCommand(result_completion_id=1)))
    box.fail(invocation_id)
    box.do(RegisterDeployment(deployment(2, highest=6), SERVICES))
    for wanted in ("latest", "dp_2", "dp_9"):
        refused = ask(box, Resume, invocation_id, wanted)
        assert isinstance(refused, Failed)
        assert refused.code == 400
    box.do(RegisterDeployment(deployment(3), SERVICES))
    assert ask(box, Resume, invocation_id, "latest") == Done()
    assert box.plans[invocation_id][-1].deployment.id == "dp_3"
    assert box.plans[invocation_id][-1].version == 7


def test_purge_removes_everything():
    """A purge deletes record, result and journal; of a workflow also state and promises."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    value = messages.Value(content=b"v")
    box.send(
        workflow,
        frame(T.SET_STATE, messages.SetStateCommand(key=b"k", value=value)),
        frame(
            T.COMPLETE_PROMISE,
            messages.CompletePromiseCommand(key="p", completion_value=value, result_completion_id=1),
        ),
    )
    box.output(workflow)
    assert ask(box, Purge, workflow) == Done()
    assert box.find(workflow) is None
    assert box.journal(workflow) == []
    assert box.read(lambda reader: reader.state_names("Flow", "w")) == []
    assert box.read(lambda reader: reader.promise("Flow", "w", "p")) is None


def test_purge_of_the_journal_keeps_the_result():
    """Without its journal an invocation still answers."""
    box = Box()
    invocation_id = in_state(box, Status.COMPLETED)
    assert ask(box, Purge, invocation_id, True) == Done()
    assert box.journal(invocation_id) == []
    assert box.read(lambda reader: reader.result(invocation_id)) == b"done"


@pytest.mark.parametrize(
    "status", [Status.SCHEDULED, Status.INBOXED, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF]
)
def test_attach_waits_for_the_end(status: Status):
    """Whatever goes on, who attaches gets the result when it is there; the output says that it is not."""
    box = Box()
    invocation_id = in_state(box, status)
    attach, output = box.token(), box.token()
    box.do(Attach(InvocationSelector(invocation_id), attach))
    box.do(GetOutput(InvocationSelector(invocation_id), output))
    assert attach not in box.replies
    assert box.replies[output] == NotReady(invocation_id)
    ask(box, Kill, invocation_id)
    assert box.replies[attach].message == "killed"


def test_attach_to_what_has_ended():
    """The stored result is given at once, with the time until which it is."""
    box = Box()
    invocation_id = in_state(box, Status.COMPLETED)
    for event in (Attach, GetOutput):
        token = box.token()
        box.do(event(InvocationSelector(invocation_id), token))
        assert box.replies[token] == Success(invocation_id, b"done", box.get(invocation_id).expires_at)


def test_selectors():
    """Workflows and idempotent invocations are found by their names."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    plain = box.replies[box.invoke(idempotency_key="i", send=True)].invocation_id
    keyed = box.replies[box.invoke("Counter/get", key="k", idempotency_key="i", send=True)].invocation_id
    selectors: list[tuple[Selector, str]] = [
        (WorkflowSelector("Flow", "w"), workflow),
        (IdempotentSelector("Greeter", "", "greet", "i"), plain),
        (IdempotentSelector("Counter", "k", "get", "i"), keyed),
    ]
    for selector, invocation_id in selectors:
        token = box.token()
        box.do(GetOutput(selector, token))
        assert box.replies[token] == NotReady(invocation_id)


def test_unknown_results():
    """Asking for what does not exist is answered as the failure of an invocation: 404 `not found`."""
    box = Box()
    for event in (Attach, GetOutput):
        token = box.token()
        box.do(event(InvocationSelector(UNKNOWN), token))
        assert box.replies[token] == Failed(404, "not found", invocation_id=UNKNOWN)


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.INBOXED, Status.COMPLETED])
def test_signals_are_dropped_where_nobody_can_wait(status: Status):
    """A signal to an invocation that has not started or has ended is accepted and leaves nothing."""
    box = Box()
    invocation_id = in_state(box, status)
    before = box.journal(invocation_id)
    token = box.token()
    box.do(SendSignal(invocation_id, "n", b"", token))
    assert box.replies[token] == Done()
    assert box.journal(invocation_id) == before


def test_unknown_and_malformed_ids():
    """Unknown ids are accepted, so that nobody learns which exist; malformed ones are refused."""
    box = Box()
    for event, code in (
        (SendSignal(UNKNOWN, "n", b"", 1), None),
        (SendSignal("x", "n", b"", 2), 400),
        (CompleteAwakeable("sign_1" + "A" * 38, b"", 3), None),
        (CompleteAwakeable("prom_1" + "A" * 38, b"", 4), None),
        (CompleteAwakeable("sign_1x", b"", 5), 400),
        (CompleteAwakeable("sign_1" + "A" * 8, b"", 6), 400),
    ):
        box.do(event)
        answer = box.replies[event.reply]
        assert answer == Done() if code is None else isinstance(answer, Failed)
        assert code is None or answer.code == code


def test_resume_of_what_does_not_stand_still():
    """A suspended invocation begins an attempt; a running one is left alone, unless it were to move."""
    box = Box()
    suspended, running = in_state(box, Status.SUSPENDED), in_state(box, Status.RUNNING)
    assert ask(box, Resume, suspended) == ask(box, Resume, running) == Done()
    assert (box.get(suspended).attempt, box.get(running).attempt) == (2, 1)
    refused = ask(box, Resume, running, "latest")
    assert isinstance(refused, Failed)
    assert refused.code == 409


def test_signals_cannot_fill_a_journal():
    """Beyond twice the limit of commands signals are refused, from outside and from handlers."""
    box = Box(options=EngineOptions(limits=Limits(journal_entries=2)))
    victim, sender = box.started(), box.started()
    answers = []
    for _ in range(4):
        token = box.token()
        box.do(SendSignal(victim, "n", b"", token))
        answers.append(box.replies[token])
    assert answers[:3] == [Done()] * 3
    assert isinstance(answers[3], Failed)
    assert answers[3].code == 429
    command = messages.SendSignalCommand(target_invocation_id=victim, name="n")
    box.send(sender, frame(T.SEND_SIGNAL, command))
    assert box.status(sender) is Status.BACKING_OFF
    assert box.types(sender) == [T.INPUT]
