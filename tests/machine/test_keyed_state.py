"""State: eager, partial and lazy, first run and replay."""

from __future__ import annotations

import pytest

from durably.errors import JournalMismatchError, RemoteProtocolError
from durably.machine import Machine, Progress
from durably.protocol import messages
from durably.protocol.messages import MessageType
from tests.machine.wire import V6, Entry, entry, feed, notification, only, opened, written

T = MessageType
STATE = [messages.StateEntry(key=b"b", value=b"2"), messages.StateEntry(key=b"a", value=b"1")]
VOID = messages.Void()


def value(content: bytes) -> messages.Value:
    """Build a value."""
    return messages.Value(content=content)


def eager(key: bytes, content: bytes | None, name: str = "") -> Entry:
    """Build a recorded eager read."""
    result = {"void": VOID} if content is None else {"value": value(content)}
    return entry(T.GET_EAGER_STATE, key=key, name=name, **result)


def got(machine: Machine, key: str) -> object:
    """Read state that is there at once."""
    handle = machine.sys_get_state(key)
    assert machine.is_completed(handle)
    assert machine.progress(handle) is Progress.READY
    return machine.take(handle)


@pytest.mark.parametrize("partial", [True, False])
def test_core_eager_get(partial: bool):
    """A key in the map is answered at once, and the answer is journaled."""
    machine = opened(state_map=STATE, partial_state=partial)
    assert got(machine, "a") == b"1"
    assert only(machine, T.GET_EAGER_STATE) == messages.GetEagerStateCommand(key=b"a", value=value(b"1"))


def test_core_eager_get_of_nothing():
    """In a complete map an absent key has no value."""
    machine = opened(state_map=STATE, partial_state=False)
    assert got(machine, "x") is None
    assert only(machine, T.GET_EAGER_STATE) == messages.GetEagerStateCommand(key=b"x", void=VOID)


def test_core_lazy_get():
    """In a partial map an absent key is unknown: the runtime is asked, and its answer is not kept."""
    machine = opened(state_map=STATE, partial_state=True)
    handle = machine.sys_get_state("x", "label")
    assert not machine.is_completed(handle)
    assert only(machine, T.GET_LAZY_STATE) == messages.GetLazyStateCommand(
        key=b"x", result_completion_id=1, name="label"
    )
    feed(machine, notification(T.GET_LAZY_STATE_COMPLETION, handle, b"9"))
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) == b"9"
    machine.sys_get_state("x")
    assert only(machine, T.GET_LAZY_STATE).result_completion_id == 2


@pytest.mark.parametrize("partial", [True, False])
def test_core_writes_are_read_back(partial: bool):
    """What was set or cleared in this attempt is known, complete map or not."""
    machine = opened(state_map=STATE, partial_state=partial)
    machine.sys_set_state("x", b"9")
    machine.sys_clear_state("a")
    assert got(machine, "x") == b"9"
    assert got(machine, "a") is None
    machine.sys_clear_all_state()
    assert got(machine, "b") is None
    assert got(machine, "unknown") is None
    assert [item.type for item in written(machine)] == [
        T.SET_STATE, T.CLEAR_STATE, T.GET_EAGER_STATE, T.GET_EAGER_STATE, T.CLEAR_ALL_STATE,
        T.GET_EAGER_STATE, T.GET_EAGER_STATE,
    ]  # fmt: skip


def test_core_eager_keys():
    """The keys of a complete map are answered at once, sorted by their bytes, without cleared ones."""
    machine = opened(state_map=STATE, partial_state=False)
    machine.sys_set_state("é", b"")
    machine.sys_set_state("z", b"")
    machine.sys_clear_state("b")
    handle = machine.sys_get_state_keys("label")
    assert machine.take(handle) == ("a", "z", "é")
    command = only(machine, T.GET_EAGER_STATE_KEYS)
    assert command.name == "label"
    assert list(command.value.keys) == [b"a", b"z", "é".encode()]


def test_core_lazy_keys():
    """The keys of a partial map are asked for; after clearing everything they are known."""
    machine = opened(state_map=STATE, partial_state=True)
    handle = machine.sys_get_state_keys()
    assert only(machine, T.GET_LAZY_STATE_KEYS).result_completion_id == handle == 1
    feed(machine, notification(T.GET_LAZY_STATE_KEYS_COMPLETION, handle, ("k",)))
    machine.progress(handle)
    assert machine.take(handle) == ("k",)
    machine.sys_clear_all_state()
    assert machine.take(machine.sys_get_state_keys()) == ()


def test_eager_reads_count_a_completion_id():
    """An eager read takes an id that never travels, so that ids do not depend on what Start brought."""
    machine = opened(state_map=STATE, partial_state=False)
    assert machine.sys_get_state("a") == 1
    assert machine.sys_get_state_keys() == 2
    assert machine.sys_sleep(5) == 3


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("recorded", [b"9", None])
def test_core_replayed_eager_get_comes_from_the_journal(partial: bool, recorded: bytes | None):
    """Replay gives what was recorded, whatever the map says now, before any notification."""
    machine = opened(eager(b"a", recorded), state_map=STATE, partial_state=partial)
    assert got(machine, "a") == recorded
    assert machine.sys_sleep(5) == 2
    assert only(machine, T.SLEEP).result_completion_id == 2


@pytest.mark.parametrize("partial", [True, False])
def test_core_replayed_lazy_get(partial: bool):
    """A read that was lazy stays lazy on replay, also when the map knows the key by now."""
    recorded = entry(T.GET_LAZY_STATE, key=b"a", result_completion_id=1)
    machine = opened(recorded, state_map=STATE, partial_state=partial)
    handle = machine.sys_get_state("a")
    assert machine.progress(handle) is Progress.WAIT
    feed(machine, notification(T.GET_LAZY_STATE_COMPLETION, handle, None))
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) is None


def test_core_replayed_keys():
    """Listing keys accepts both recorded forms too."""
    recorded = entry(T.GET_EAGER_STATE_KEYS, value=messages.StateKeys(keys=[b"q"]))
    assert opened(recorded, state_map=STATE).sys_get_state_keys() == 1
    machine = opened(recorded)
    assert machine.take(machine.sys_get_state_keys()) == ("q",)
    lazy = opened(entry(T.GET_LAZY_STATE_KEYS, result_completion_id=1), partial_state=False)
    assert lazy.progress(lazy.sys_get_state_keys()) is Progress.WAIT


def test_core_replayed_writes_change_the_map():
    """Writes that are replayed count for reads that are new."""
    machine = opened(entry(T.SET_STATE, key=b"x", value=value(b"1")), entry(T.CLEAR_STATE, key=b"a"), state_map=STATE)
    machine.sys_set_state("x", b"1")
    machine.sys_clear_state("a")
    assert got(machine, "x") == b"1"
    assert got(machine, "a") is None


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        (eager(b"other", None), "key"),
        (eager(b"a", None, "label"), "name"),
        (entry(T.GET_LAZY_STATE, key=b"other", result_completion_id=1), "key"),
        (entry(T.GET_LAZY_STATE, key=b"a", result_completion_id=2), "result_completion_id"),
        (entry(T.CLEAR_ALL_STATE), "clear all state"),
        (entry(T.GET_LAZY_STATE_KEYS, result_completion_id=1), "get state keys"),
    ],
)
def test_core_read_of_something_else(recorded: Entry, words: str):
    """A read of another key, under another name or id, or another operation, is a mismatch."""
    machine = opened(recorded)
    with pytest.raises(JournalMismatchError, match=words):
        machine.sys_get_state("a")
    assert only(machine, T.ERROR).code == 570


@pytest.mark.parametrize(
    "recorded", [entry(T.RUN, result_completion_id=1), entry(T.GET_LAZY_STATE_KEYS, result_completion_id=5)]
)
def test_core_listing_of_something_else(recorded: Entry):
    """So is listing keys where something else was recorded."""
    with pytest.raises(JournalMismatchError):
        opened(recorded).sys_get_state_keys()


@pytest.mark.parametrize(
    ("recorded", "code"),
    [
        (entry(T.GET_EAGER_STATE, key=b"a"), 571),
        ((int(T.GET_EAGER_STATE), b"\xff"), 500),
        ((int(T.GET_LAZY_STATE), b"\xff"), 500),
    ],
)
def test_broken_recorded_reads(recorded: Entry, code: int):
    """A recorded read without an answer, or not readable, is the runtime's error."""
    machine = opened(recorded)
    with pytest.raises(RemoteProtocolError) as caught:
        machine.sys_get_state("a")
    assert caught.value.code == code == only(machine, T.ERROR).code


@pytest.mark.parametrize(
    ("recorded", "code"),
    [
        (entry(T.GET_EAGER_STATE_KEYS), 571),
        (entry(T.GET_EAGER_STATE_KEYS, value=messages.StateKeys(keys=[b"\xff"])), 500),
    ],
)
def test_broken_recorded_listings(recorded: Entry, code: int):
    """A recorded listing without an answer, or with a key that is no text, is the runtime's error."""
    machine = opened(recorded)
    with pytest.raises(RemoteProtocolError) as caught:
        machine.sys_get_state_keys()
    assert caught.value.code == code == only(machine, T.ERROR).code


def test_keys_that_are_no_text_are_refused_before_anything_is_written():
    """A key with a lone surrogate raises at the call; nothing was journaled and no id was used."""
    machine = opened(version=V6)
    for call in (machine.sys_get_state, machine.sys_clear_state, lambda key: machine.sys_set_state(key, b"")):
        with pytest.raises(ValueError, match="surrogates"):
            call("\ud800")
    assert machine.data_to_send() == b""
    assert machine.sys_sleep(1) == 1
