"""Workflows: promises, and what handlers of a key share."""

from __future__ import annotations

from durably.engine.events import EditState, Kill, Purge
from durably.engine.records import StateEdit, Status
from durably.protocol import messages
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import Box, frame


def get(name: str, completion: int):
    """A command that awaits a promise."""
    return frame(T.GET_PROMISE, messages.GetPromiseCommand(key=name, result_completion_id=completion))


def peek(name: str, completion: int):
    """A command that looks at a promise."""
    return frame(T.PEEK_PROMISE, messages.PeekPromiseCommand(key=name, result_completion_id=completion))


def complete(name: str, completion: int, value: bytes | None = b"v"):
    """A command that resolves a promise, or rejects it."""
    command = messages.CompletePromiseCommand(key=name, result_completion_id=completion)
    if value is None:
        command.completion_failure.message = "no"
    else:
        command.completion_value.content = value
    return frame(T.COMPLETE_PROMISE, command)


def test_promise_wakes_who_awaits_it():
    """The run awaits, another handler of the key completes, both are answered."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    box.send(workflow, get("p", 1))
    box.suspend(workflow, 1)
    poke = box.started("Flow/poke", key="w")
    box.send(poke, complete("p", 1))
    assert box.last(poke).WhichOneof("result") == "void"
    assert box.status(workflow) is Status.RUNNING
    assert box.last(workflow).value.content == b"v"
    assert box.read(lambda reader: reader.promise_waiters("Flow", "w", "p")) == []


def test_promise_that_is_completed_answers_at_once():
    """Awaiting after the completion needs no waiting; a rejection brings its failure."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    box.send(workflow, complete("p", 1), get("p", 2), complete("q", 3, None), get("q", 4))
    results = [messages.Notification.FromString(entry.payload) for entry in box.journal(workflow) if entry.handle]
    assert [result.WhichOneof("result") for result in results] == ["void", "value", "void", "failure"]


def test_promise_is_completed_once():
    """The second completion fails with 409 and changes nothing."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    box.send(workflow, complete("p", 1, b"first"), complete("p", 2, b"second"))
    assert box.last(workflow).failure.code == 409
    assert box.last(workflow).failure.message == "promise was already completed"
    promise = box.read(lambda reader: reader.promise("Flow", "w", "p"))
    assert promise is not None
    assert promise.result == b"first"


def test_peek_does_not_wait():
    """Looking at a promise answers with nothing before the completion and with its result after."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    box.send(workflow, peek("p", 1), complete("p", 2), peek("p", 3))
    results = [messages.Notification.FromString(entry.payload) for entry in box.journal(workflow) if entry.handle]
    assert [result.WhichOneof("result") for result in results] == ["void", "void", "value"]


def test_promises_belong_to_their_key():
    """A promise of one key is not that of another."""
    box = Box()
    first, second = box.started("Flow/run", key="a"), box.started("Flow/run", key="b")
    box.send(first, complete("p", 1))
    box.send(second, peek("p", 1))
    assert box.last(second).WhichOneof("result") == "void"


def test_ended_waiter_awaits_nothing():
    """A killed handler is taken from the promises it awaited."""
    box = Box()
    poke = box.started("Flow/poke", key="w")
    box.send(poke, get("p", 1))
    box.do(Kill(poke))
    assert box.read(lambda reader: reader.promise_waiters("Flow", "w", "p")) == []


def test_purged_run_leaves_waiting_handlers_waiting():
    """A purge of the run takes its promises, but a handler that awaits one can still be answered by the next run."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    poke = box.started("Flow/poke", key="w")
    box.send(poke, get("p", 1))
    box.output(workflow)
    box.do(Purge(workflow))
    again = box.started("Flow/run", key="w")
    assert again == workflow
    box.send(again, complete("p", 1))
    assert box.last(poke).value.content == b"v"


def test_state_of_a_workflow():
    """The run writes state, others of the key read it; an edit from outside needs no turn."""
    box = Box()
    workflow = box.started("Flow/run", key="w")
    box.send(workflow, frame(T.SET_STATE, messages.SetStateCommand(key=b"k", value=messages.Value(content=b"1"))))
    poke = box.started("Flow/poke", key="w")
    assert [(entry.key, entry.value) for entry in box.start_of(poke).state_map] == [(b"k", b"1")]
    box.do(EditState("Flow", "w", StateEdit({b"k": b"2"})))
    assert box.read(lambda reader: reader.state_value("Flow", "w", b"k")) == b"2"
