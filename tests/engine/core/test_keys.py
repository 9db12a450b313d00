"""Objects: exclusive handlers queue up for their key, shared ones do not, and the lock outlives every pause."""

from __future__ import annotations

import pytest

from durably.engine.actions import Done, Failed
from durably.engine.core import state_version
from durably.engine.events import Cancel, EditState, Kill, Pause
from durably.engine.records import AttemptFailure, StateEdit, Status
from durably.protocol import messages
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import Box, frame


def set_state(key: bytes, value: bytes):
    """A command that writes state."""
    return frame(T.SET_STATE, messages.SetStateCommand(key=key, value=messages.Value(content=value)))


def test_exclusive_handlers_run_in_the_order_of_arrival():
    """One runs, the others wait; each completion starts exactly the next."""
    box = Box()
    ids = [box.started("Counter/add", key="k") for _ in range(4)]
    for position, invocation_id in enumerate(ids):
        statuses = [box.status(other) for other in ids[position:]]
        assert statuses == [Status.RUNNING] + [Status.INBOXED] * (len(ids) - position - 1)
        assert box.read(lambda reader: reader.lock_holder("Counter", "k")) == ids[position]
        box.output(invocation_id)
    assert box.read(lambda reader: reader.lock_holder("Counter", "k")) is None


def test_keys_do_not_wait_for_each_other():
    """Two keys of one object run beside each other; so do the same keys of a workflow's shared handler."""
    box = Box()
    assert box.status(box.started("Counter/add", key="a")) is Status.RUNNING
    assert box.status(box.started("Counter/add", key="b")) is Status.RUNNING


def test_shared_handlers_skip_the_inbox():
    """A shared handler starts while the key is locked and others wait."""
    box = Box()
    box.started("Counter/add", key="k")
    box.started("Counter/add", key="k")
    assert box.status(box.started("Counter/get", key="k")) is Status.RUNNING


@pytest.mark.parametrize("stop", ["suspended", "backing off", "paused"])
def test_lock_is_kept(stop: str):
    """A holder that is suspended, backs off or is paused keeps the next one waiting."""
    box = Box()
    holder = box.started("Counter/add", key="k")
    waiting = box.started("Counter/add", key="k")
    if stop == "suspended":
        box.suspend(holder, 1)
    else:
        box.fail(holder)
    if stop == "paused":
        box.do(Pause(holder))
    assert box.status(holder) in (Status.SUSPENDED, Status.BACKING_OFF, Status.PAUSED)
    assert box.status(waiting) is Status.INBOXED
    assert box.read(lambda reader: reader.lock_holder("Counter", "k")) == holder


@pytest.mark.parametrize("stop", ["running", "suspended", "backing off", "paused"])
def test_kill_hands_the_key_over(stop: str):
    """Whatever state the holder is killed in, the next one starts."""
    box = Box()
    holder = box.started("Counter/add", key="k")
    waiting = box.started("Counter/add", key="k")
    if stop == "suspended":
        box.suspend(holder, 1)
    elif stop != "running":
        box.fail(holder)
    if stop == "paused":
        box.do(Pause(holder))
    box.do(Kill(holder))
    assert box.status(holder) is Status.COMPLETED
    assert box.status(waiting) is Status.RUNNING


@pytest.mark.parametrize("operation", [Cancel, Kill])
def test_inboxed_one_leaves_the_queue(operation: type[Cancel] | type[Kill]):
    """Cancelling or killing one that waits takes it out, without touching the holder or the others."""
    box = Box()
    holder, victim, other = (box.started("Counter/add", key="k") for _ in range(3))
    token = box.token()
    box.do(operation(victim, token))
    assert box.replies[token] == Done()
    assert box.status(victim) is Status.COMPLETED
    box.output(holder)
    assert box.status(other) is Status.RUNNING


def test_state_is_sent_along():
    """The next attempt of a key gets all of its state, in order, and knows that it is complete."""
    box = Box()
    first = box.started("Counter/add", key="k")
    box.send(first, set_state(b"b", b"2"), set_state(b"a", b"1"))
    box.output(first)
    second = box.started("Counter/get", key="k")
    start = box.start_of(second)
    assert [(entry.key, entry.value) for entry in start.state_map] == [(b"a", b"1"), (b"b", b"2")]
    assert not start.partial_state
    assert start.key == "k"


def test_edit_waits_for_the_lock():
    """An edit from outside is done after the handler that runs and before the one that came later."""
    box = Box()
    holder = box.started("Counter/add", key="k")
    box.send(holder, set_state(b"a", b"1"))
    token = box.token()
    box.do(EditState("Counter", "k", StateEdit({b"z": b"9"}), token))
    later = box.started("Counter/add", key="k")
    assert box.replies[token] == Done()
    assert box.read(lambda reader: reader.state_value("Counter", "k", b"a")) == b"1"
    box.output(holder)
    assert [(entry.key, entry.value) for entry in box.start_of(later).state_map] == [(b"z", b"9")]


def test_edit_of_a_free_key_is_done_at_once():
    """Without a handler an edit takes effect, unless the state is not the version it was made for."""
    box = Box()
    box.do(EditState("Counter", "k", StateEdit({b"a": b"1"})))
    version = state_version([(b"a", b"1")])
    box.do(EditState("Counter", "k", StateEdit({b"a": b"2"}, version)))
    box.do(EditState("Counter", "k", StateEdit({b"a": b"3"}, version)))
    assert box.read(lambda reader: reader.state_value("Counter", "k", b"a")) == b"2"


def test_plain_service_has_no_state_to_edit():
    """Editing the state of a plain service, or of an unknown one, is refused."""
    box = Box()
    for service, code in (("Greeter", 400), ("Nobody", 404)):
        token = box.token()
        box.do(EditState(service, "k", StateEdit({}), token))
        refused = box.replies[token]
        assert isinstance(refused, Failed)
        assert refused.code == code


def test_only_holders_write_state():
    """A shared handler or a plain service that writes state fails its attempt, and nothing is written."""
    box = Box()
    for handler, key in (("Counter/get", "k"), ("Flow/poke", "k"), ("Greeter/greet", "")):
        invocation_id = box.started(handler, key=key)
        box.send(invocation_id, set_state(b"a", b"1"))
        failure = box.get(invocation_id).last_failure
        assert isinstance(failure, AttemptFailure)
        assert failure.doc_code == "RT0017"
        assert box.types(invocation_id) == [T.INPUT]
        assert box.read(lambda reader, handler=handler: reader.state_names(handler.split("/")[0], "k")) == []


def test_lazy_reads_are_answered():
    """Lazy reads of a value, of a missing one and of the names are answered right after the command."""
    box = Box()
    box.do(EditState("Counter", "k", StateEdit({b"a": b"", b"b": b"2"})))
    reader = box.started("Counter/get", key="k")
    box.send(
        reader,
        frame(T.GET_LAZY_STATE, messages.GetLazyStateCommand(key=b"a", result_completion_id=1)),
        frame(T.GET_LAZY_STATE, messages.GetLazyStateCommand(key=b"c", result_completion_id=2)),
        frame(T.GET_LAZY_STATE_KEYS, messages.GetLazyStateKeysCommand(result_completion_id=3)),
    )
    results = [messages.Notification.FromString(entry.payload) for entry in box.journal(reader) if entry.handle]
    assert [result.WhichOneof("result") for result in results] == ["value", "void", "state_keys"]
    assert list(results[2].state_keys.keys) == [b"a", b"b"]


def test_clearing_state():
    """One value is cleared, then all."""
    box = Box()
    box.do(EditState("Counter", "k", StateEdit({b"a": b"1", b"b": b"2", b"c": b"3"})))
    writer = box.started("Counter/add", key="k")
    box.send(writer, frame(T.CLEAR_STATE, messages.ClearStateCommand(key=b"a")))
    assert box.read(lambda reader: reader.state_names("Counter", "k")) == [b"b", b"c"]
    box.send(writer, frame(T.CLEAR_ALL_STATE, messages.ClearAllStateCommand()))
    assert box.read(lambda reader: reader.state_names("Counter", "k")) == []
