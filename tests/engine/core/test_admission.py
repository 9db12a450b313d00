"""New invocations: calls and sends from outside and from handlers, idempotency, workflows, delays."""

from __future__ import annotations

from durably.engine.actions import Accepted, Await, Failed, FailureSource, StartAttempt, Success
from durably.engine.core import idempotent_id, workflow_id
from durably.engine.options import EngineOptions, Limits
from durably.engine.records import Failure, Status, Target
from durably.protocol import messages
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import Box, frame

DAY_MS = 24 * 60 * 60 * 1000


def call(service: str, handler: str, *, key: str = "", ids: tuple[int, int] = (1, 2), **fields: object):
    """A call command."""
    command = messages.CallCommand(
        service_name=service,
        handler_name=handler,
        key=key,
        invocation_id_notification_idx=ids[0],
        result_completion_id=ids[1],
        **fields,
    )
    return frame(T.CALL, command)


def send(service: str, handler: str, *, key: str = "", completion: int = 1, **fields: object):
    """A one-way call command."""
    command = messages.OneWayCallCommand(
        service_name=service, handler_name=handler, key=key, invocation_id_notification_idx=completion, **fields
    )
    return frame(T.ONE_WAY_CALL, command)


def test_call_starts_an_attempt_with_its_input():
    """A call is stored with its input and opens an attempt that carries both, before anything is answered."""
    box = Box()
    token = box.invoke(body=b"hi", headers=(("a", "b"),))
    kinds = [type(action) for action in box.actions]
    assert kinds == [Await, StartAttempt]
    (plan,) = next(iter(box.plans.values()))
    start, given = box.messages_of(plan)
    assert start.known_entries == 1
    assert start.debug_id == plan.invocation_id
    assert start.partial_state
    assert start.random_seed == box.get(plan.invocation_id).random_seed
    assert given.value.content == b"hi"
    assert [(header.key, header.value) for header in given.headers] == [("a", "b")]
    box.output(plan.invocation_id, b"hello")
    assert box.replies[token] == Success(plan.invocation_id, b"hello")


def test_a_request_that_fits_in_no_message_is_refused():
    """Also from a client in the process, which no ingress checks: no attempt could ever read its input."""
    box = Box(options=EngineOptions(limits=Limits(message_bytes=1000)))
    fits = box.invoke(body=b"x" * 984)
    refused = box.replies[box.invoke(body=b"x" * 985)]
    assert isinstance(refused, Failed)
    assert (refused.code, refused.source) == (413, FailureSource.INGRESS)
    assert isinstance(box.replies[box.invoke(body=b"x" * 967, headers=(("a", "b"),))], Failed)
    assert fits not in box.replies


def test_unknown_handler_is_refused():
    """A request for what is not registered is answered with 404 and stores nothing."""
    box = Box()
    token = box.invoke("Greeter/missing")
    refused = box.replies[token]
    assert isinstance(refused, Failed)
    assert (refused.code, refused.source) == (404, FailureSource.INGRESS)
    assert not box.plans


def test_terminal_failure_reaches_the_caller():
    """An output that is a failure settles the call with its code, message and metadata."""
    box = Box()
    token = box.invoke()
    (invocation_id,) = box.plans
    failure = messages.Failure(code=418, message="tea", metadata=[messages.FailureMetadata(key="k", value="v")])
    box.send(invocation_id, frame(T.OUTPUT, messages.OutputCommand(failure=failure)), frame(T.END))
    assert box.replies[token] == Failed(418, "tea", (("k", "v"),), invocation_id=invocation_id)


def test_idempotency_key_makes_one_invocation():
    """Requests with one key get one id: the second waits with the first, a third gets the stored result."""
    box = Box()
    first = box.invoke(idempotency_key="k")
    second = box.invoke(idempotency_key="k")
    (invocation_id,) = box.plans
    assert invocation_id == idempotent_id(Target("Greeter", "", "greet"), "k", keyed=False)
    assert len(box.plans[invocation_id]) == 1
    box.output(invocation_id)
    assert box.replies[first] == box.replies[second] == Success(invocation_id, b"done")
    third = box.invoke(idempotency_key="k")
    assert box.replies[third] == Success(invocation_id, b"done", box.now + DAY_MS)
    fourth = box.invoke(idempotency_key="k", send=True)
    assert box.replies[fourth] == Accepted(invocation_id, False)


def test_idempotency_key_expires():
    """After its retention a key makes a new invocation, even before a sweep."""
    box = Box()
    box.invoke(idempotency_key="k")
    (invocation_id,) = box.plans
    box.output(invocation_id)
    box.now += DAY_MS
    again = box.invoke(idempotency_key="k", send=True)
    assert box.replies[again] == Accepted(invocation_id, True)
    assert len(box.plans[invocation_id]) == 2


def test_idempotency_keys_belong_to_their_target():
    """One key on two objects, or on two keys of one, makes two invocations."""
    box = Box()
    ids = {
        box.replies[box.invoke(handler, key=key, idempotency_key="k", send=True)].invocation_id
        for handler, key in (("Counter/add", "a"), ("Counter/add", "b"), ("Counter/get", "a"), ("Greeter/greet", ""))
    }
    assert len(ids) == 4


def test_workflow_runs_once():
    """A second call of a workflow's run fails with 409, a second send is told that it came late."""
    box = Box()
    box.invoke("Flow/run", key="w")
    again = box.invoke("Flow/run", key="w")
    invocation_id = workflow_id("Flow", "w")
    assert box.replies[again] == Failed(409, "the workflow method was already invoked", invocation_id=invocation_id)
    sent = box.invoke("Flow/run", key="w", send=True)
    assert box.replies[sent] == Accepted(invocation_id, False)
    box.output(invocation_id)
    late = box.invoke("Flow/run", key="w")
    assert isinstance(box.replies[late], Failed)
    assert len(box.plans[invocation_id]) == 1


def test_workflow_runs_again_after_retention():
    """When a run's retention is over its state and promises are gone, and the key can run again."""
    box = Box()
    invocation_id = box.started("Flow/run", key="w")
    box.send(invocation_id, frame(T.SET_STATE, messages.SetStateCommand(key=b"k", value=messages.Value(content=b"v"))))
    box.output(invocation_id)
    assert box.read(lambda reader: reader.state_names("Flow", "w")) == [b"k"]
    box.now += DAY_MS
    box.invoke("Flow/run", key="w")
    assert box.read(lambda reader: reader.state_names("Flow", "w")) == []
    assert box.status(invocation_id) is Status.RUNNING


def test_delayed_send_waits_for_its_time():
    """A delayed send is accepted with its time, starts when that has come, and not before."""
    box = Box()
    token = box.invoke(send=True, delay_ms=1000)
    accepted = box.replies[token]
    assert accepted.execution_time_ms == box.now + 1000
    assert box.status(accepted.invocation_id) is Status.SCHEDULED
    box.advance(999)
    assert not box.plans
    box.advance(1)
    assert box.status(accepted.invocation_id) is Status.RUNNING


def test_delayed_send_to_a_locked_object_queues_when_due():
    """A delayed send does not hold its key while it waits, and queues up when its time finds the key taken."""
    box = Box()
    delayed = box.replies[box.invoke("Counter/add", key="a", send=True, delay_ms=10)].invocation_id
    holder = box.started("Counter/add", key="a")
    assert box.status(holder) is Status.RUNNING
    box.advance(10)
    assert box.status(delayed) is Status.INBOXED
    box.output(holder)
    assert box.status(delayed) is Status.RUNNING


def test_delayed_send_with_an_idempotency_key():
    """A repeated delayed send is one invocation that keeps its first time."""
    box = Box()
    first = box.replies[box.invoke(send=True, delay_ms=1000, idempotency_key="k")]
    box.now += 500
    second = box.replies[box.invoke(send=True, delay_ms=1000, idempotency_key="k")]
    assert first.is_new
    assert not second.is_new
    assert (first.invocation_id, first.execution_time_ms) == (second.invocation_id, second.execution_time_ms)


def test_call_of_a_handler_brings_id_and_result():
    """A call command is followed by the child's id at once and by its result when the child completes."""
    box = Box()
    parent = box.started()
    box.send(parent, call("Counter", "get", key="k", parameter=b"x"))
    assert box.types(parent) == [T.INPUT, T.CALL, T.CALL_INVOCATION_ID_COMPLETION]
    child = box.last(parent).invocation_id
    assert box.get(child).parent_id == parent
    assert box.messages_of(box.plans[child][0])[1].value.content == b"x"
    box.output(child, b"7")
    assert box.last(parent).completion_id == 2
    assert box.last(parent).value.content == b"7"
    assert [item[0] for item in box.delivered[parent, 1]] == [T.CALL_INVOCATION_ID_COMPLETION, T.CALL_COMPLETION]


def test_failed_child_fails_the_call():
    """A child's failure is the call's result."""
    box = Box()
    parent = box.started()
    box.send(parent, call("Greeter", "greet"))
    child = box.last(parent).invocation_id
    failure = messages.OutputCommand(failure=messages.Failure(code=400, message="no"))
    box.send(child, frame(T.OUTPUT, failure), frame(T.END))
    assert box.journal(parent)[-1].failed
    assert box.last(parent).failure.message == "no"


def test_call_of_a_known_idempotent_invocation():
    """A call with a key that is known attaches to the running one, or gets the stored result at once."""
    box = Box()
    known = box.replies[box.invoke(idempotency_key="k", send=True)].invocation_id
    parent = box.started()
    box.send(parent, call("Greeter", "greet", idempotency_key="k"))
    assert box.last(parent).invocation_id == known
    box.output(known, b"r")
    assert box.last(parent).value.content == b"r"
    box.send(parent, call("Greeter", "greet", idempotency_key="k", ids=(3, 4)))
    assert box.last(parent).completion_id == 4
    assert box.last(parent).value.content == b"r"


def test_call_of_a_workflow_that_ran():
    """A handler that calls a run a second time gets 409, with the id of the first."""
    box = Box()
    box.invoke("Flow/run", key="w")
    parent = box.started()
    box.send(parent, call("Flow", "run", key="w"))
    assert box.types(parent)[-2:] == [T.CALL_INVOCATION_ID_COMPLETION, T.CALL_COMPLETION]
    assert box.last(parent).failure.code == 409


def test_one_way_call_with_a_delay():
    """A one-way call starts at its time and outlives the one that sent it."""
    box = Box()
    parent = box.started()
    box.send(parent, send("Greeter", "greet", invoke_time=box.now + 50))
    child = box.last(parent).invocation_id
    box.output(parent)
    assert box.status(child) is Status.SCHEDULED
    box.advance(50)
    assert box.status(child) is Status.RUNNING


def test_ids_of_children_follow_from_their_command():
    """The same command of the same invocation gives the same child; another command gives another."""
    ids = []
    for _ in range(2):
        box = Box(seed=5)
        parent = box.started()
        box.random.seed(99 + len(ids))
        box.send(parent, send("Greeter", "greet", completion=1), send("Greeter", "greet", completion=2))
        ids.append([box.journal(parent)[index].payload for index in (2, 4)])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_no_retention_keeps_nothing():
    """With a journal retention of 0 an invocation is gone once its result is delivered."""
    box = Box()
    token = box.invoke("Fleeting/greet")
    (invocation_id,) = box.plans
    box.output(invocation_id)
    assert box.replies[token] == Success(invocation_id, b"done")
    assert box.find(invocation_id) is None
    assert box.journal(invocation_id) == []
    assert box.read(lambda reader: reader.result(invocation_id)) is None


def test_killed_child_of_retention_zero_still_tells_its_parent():
    """The result of an invocation without retention reaches a handler that waits for it."""
    box = Box()
    parent = box.started()
    box.send(parent, call("Fleeting", "greet"))
    child = box.last(parent).invocation_id
    failure = Failure(500, "x")
    output = messages.OutputCommand(failure=messages.Failure(code=failure.code, message=failure.message))
    box.send(child, frame(T.OUTPUT, output), frame(T.END))
    assert box.last(parent).failure.message == "x"
