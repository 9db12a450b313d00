"""Awaiting: one notification at a time, suspension, and cancellation."""

from __future__ import annotations

import itertools

import pytest

from durably.errors import JournalMismatchError, LocalProtocolError, RemoteProtocolError
from durably.machine import (
    CANCEL,
    AwaitingOnPolicy,
    Combinator,
    Combined,
    Failure,
    Handle,
    MachineOptions,
    Progress,
    State,
)
from durably.machine.waiting import AwaitTree
from durably.protocol import messages
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import (
    V5,
    V6,
    V7,
    VERSIONS,
    Entry,
    ack,
    entry,
    feed,
    notification,
    only,
    opened,
    signal,
    written,
)

T = MessageType
FIRST = Combinator.FIRST_COMPLETED
ALL = Combinator.ALL_COMPLETED
EXPLICIT = MachineOptions(implicit_cancellation=False)


def of(combinator: Combinator, *children: AwaitTree) -> Combined:
    """Combine."""
    return Combined(combinator, children)


def done(handle: int) -> Entry:
    """Build the completion of a sleep."""
    return notification(T.SLEEP_COMPLETION, handle, None)


def child(handle: int, invocation_id: str | bytes) -> Entry:
    """Build the notification that brings a child's id."""
    return notification(T.CALL_INVOCATION_ID_COMPLETION, handle, invocation_id)


def sleeps(count: int) -> list[Entry]:
    """Build recorded sleeps with the ids from 1."""
    return [entry(T.SLEEP, wake_up_time=1, result_completion_id=handle) for handle in range(1, count + 1)]


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_core_one_notification_at_a_time(order: tuple[int, ...]):
    """A race is won by whichever came first, however many have come: the others are not even looked at."""
    machine = opened()
    handles = [machine.sys_sleep(1) for _ in range(3)]
    feed(machine, *map(done, order))
    assert machine.progress(of(FIRST, *handles)) is Progress.READY
    assert [handle for handle in handles if machine.is_completed(handle)] == [order[0]]


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_core_recorded_notifications_are_delivered_in_order(order: tuple[int, ...]):
    """Replay delivers recorded notifications the same way, also those left when the commands are used up."""
    machine = opened(*sleeps(3), *map(done, order), eof=True)
    handles = [machine.sys_sleep(1) for _ in range(3)]
    for taken in order:
        tree = of(FIRST, *handles)
        assert machine.progress(tree) is Progress.READY
        assert [handle for handle in handles if machine.is_completed(handle)] == [taken]
        machine.take(taken)
        handles.remove(taken)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3, 4])))
def test_core_nested_combinators_completed_in_every_order(order: tuple[int, ...]):
    """ALL[FIRST[1, 2], ALL[3, 4]]: the driver sees the race as soon as it is decided, and the suspension shrinks."""
    machine = opened(version=V7)
    handles = [machine.sys_sleep(1) for _ in range(4)]
    tree: AwaitTree = of(ALL, of(FIRST, 1, 2), of(ALL, 3, 4))
    arrived: set[Handle] = set()
    for handle in order:
        feed(machine, done(handle))
        arrived.add(handle)
        decided = arrived & {1, 2}
        machine.data_to_send()
        assert machine.progress(tree) is (Progress.READY if decided else Progress.WAIT)
        if decided:
            machine.take(decided.pop())
            break
    left = {3, 4} - arrived
    machine.receive_eof()
    tree = of(ALL, *sorted({3, 4} & set(handles)))
    if not left:
        assert machine.progress(tree) is Progress.READY
        return
    assert machine.progress(tree) is Progress.SUSPENDED
    future = only(machine, T.SUSPENSION).awaiting_on
    assert set(future.nested_futures[0].waiting_completions) == left


def test_what_nobody_awaits_is_passed_over():
    """Notifications for others are delivered on the way, and stay ready for whoever awaits them later."""
    machine = opened()
    handles = [machine.sys_sleep(1) for _ in range(3)]
    feed(machine, *map(done, handles))
    assert machine.progress(of(ALL, handles[2])) is Progress.READY
    assert all(map(machine.is_completed, handles))


def test_values_are_taken_once():
    """A taken handle is pending again; taking it again is the caller's mistake and harmless."""
    machine = opened()
    handle = machine.sys_sleep(1)
    feed(machine, done(handle))
    assert not machine.is_completed(handle)
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) is None
    assert not machine.is_completed(handle)
    with pytest.raises(LocalProtocolError, match="no result to take"):
        machine.take(handle)
    assert machine.progress(handle) is Progress.WAIT


def test_is_resolved_delivers_nothing():
    """It looks at what was delivered only."""
    machine = opened()
    first, second = machine.sys_sleep(1), machine.sys_sleep(1)
    feed(machine, done(first), done(second))
    assert not machine.is_resolved(first)
    assert not machine.is_resolved(of(ALL, first))
    machine.progress(first)
    assert machine.is_resolved(first)
    assert machine.is_resolved(of(ALL, first))
    assert machine.is_resolved(of(FIRST, first, second))
    assert not machine.is_resolved(of(ALL, first, second))


def test_core_an_added_await_is_refused():
    """While commands are recorded, an await that the journal cannot resolve was not there before."""
    machine = opened(*sleeps(2), locate=lambda: "shop.py:7")
    machine.sys_sleep(1)
    with pytest.raises(JournalMismatchError) as caught:
        machine.progress(of(ALL, 1, of(FIRST, CANCEL, -17, "go")))
    error = caught.value
    assert error.index == 1
    assert error.expected == "sleep"
    assert error.found == "await completion 1, the cancellation, awakeable 17, signal 'go'"
    assert "shop.py:7" in str(error)
    frame = only(machine, T.ERROR)
    assert frame.code == 570
    assert not frame.HasField("related_command_index")


def test_core_an_await_that_is_recorded_is_fine_while_replaying():
    """While commands are recorded, an await that recorded notifications resolve goes on."""
    machine = opened(*sleeps(1), done(1), *sleeps(0), entry(T.SLEEP, wake_up_time=1, result_completion_id=2))
    machine.sys_sleep(1)
    assert machine.is_replaying
    assert machine.progress(1) is Progress.READY


@pytest.mark.parametrize("version", [V5, V6])
def test_core_suspension(version: ProtocolVersion):
    """With the input closed, waiting suspends: all leaves and the cancellation are listed."""
    machine = opened(version=version, eof=True)
    handle = machine.sys_sleep(1)
    assert machine.progress(of(ALL, handle, -17, of(FIRST, "go", 9))) is Progress.SUSPENDED
    assert machine.state is State.SUSPENDED
    assert only(machine, T.SUSPENSION) == messages.Suspension(
        waiting_completions=[1, 9], waiting_signals=[1, 17], waiting_named_signals=["go"]
    )


def test_core_suspension_in_v7():
    """V7 sends what remains of the tree, with the cancellation beside it."""
    machine = opened(done(1), version=V7, eof=True)
    machine.sys_sleep(1)
    machine.sys_sleep(1)
    assert machine.progress(of(ALL, 1, 2)) is Progress.SUSPENDED
    inner = messages.Future(waiting_completions=[2], combinator_type=2)
    outer = messages.Future(waiting_signals=[1], nested_futures=[inner], combinator_type=1)
    assert only(machine, T.SUSPENSION).awaiting_on == outer


@pytest.mark.parametrize("version", VERSIONS)
def test_core_suspension_without_implicit_cancellation(version: ProtocolVersion):
    """In explicit mode a cancellation does not wake the invocation, unless it is awaited."""
    machine = opened(version=version, options=EXPLICIT, eof=True)
    handle = machine.sys_sleep(1)
    assert machine.progress(handle) is Progress.SUSPENDED
    suspension = only(machine, T.SUSPENSION)
    assert list(suspension.awaiting_on.waiting_signals) + list(suspension.waiting_signals) == []


def test_core_no_suspension_while_the_input_is_open():
    """Without the end of the input, or while it may still bring something, waiting is waiting."""
    machine = opened()
    handle = machine.sys_sleep(1)
    assert machine.progress(handle) is Progress.WAIT
    feed(machine, done(handle))
    machine.receive_eof()
    assert machine.progress(handle) is Progress.READY


@pytest.mark.parametrize(
    ("policy", "idle", "executing"),
    [
        (AwaitingOnPolicy.ALWAYS, 1, 1),
        (AwaitingOnPolicy.WHEN_IDLE, 1, 0),
        (AwaitingOnPolicy.WHEN_WAITING, 1, 0),
        (AwaitingOnPolicy.NEVER, 0, 0),
    ],
)
def test_core_awaiting_on(policy: AwaitingOnPolicy, idle: int, executing: int):
    """V7 tells the runtime what is awaited: always, only while no step executes, or never."""
    machine = opened(version=V7, options=MachineOptions(awaiting_on=policy))
    handle = machine.sys_sleep(1)
    assert machine.progress(handle) is Progress.WAIT
    found = [item.message for item in written(machine) if item.type is T.AWAITING_ON]
    assert len(found) == idle
    for message in found:
        assert message.awaiting_on == messages.Future(waiting_completions=[1], waiting_signals=[1], combinator_type=1)
        assert not message.executing_side_effects
    run = machine.sys_run()
    tree = of(ALL, run, handle)
    assert machine.progress(tree) is Progress.EXECUTE_RUN
    assert machine.progress(tree) is Progress.WAIT
    assert sum(item.type is T.AWAITING_ON for item in written(machine)) == executing


@pytest.mark.parametrize(("policy", "proposed"), [(AwaitingOnPolicy.WHEN_IDLE, 1), (AwaitingOnPolicy.WHEN_WAITING, 0)])
def test_a_proposed_step_need_not_be_reported_as_awaited(policy: AwaitingOnPolicy, proposed: int):
    """Its acknowledgement is on its way: by default only what is awaited after it is told."""
    machine = opened(version=V7, options=MachineOptions(awaiting_on=policy))
    run = machine.sys_run()
    assert machine.progress(run) is Progress.EXECUTE_RUN
    machine.propose_run_success(run, b"1")
    assert machine.progress(run) is Progress.WAIT
    assert sum(item.type is T.AWAITING_ON for item in written(machine)) == proposed
    machine.receive_data(ack(run))
    assert machine.progress(run) is Progress.READY
    assert machine.progress(machine.sys_sleep(1)) is Progress.WAIT
    told = [item.message.awaiting_on for item in written(machine) if item.type is T.AWAITING_ON]
    assert [list(future.waiting_completions) for future in told] == [[2]]


@pytest.mark.parametrize("version", [V5, V6])
def test_awaiting_on_exists_since_v7(version: ProtocolVersion):
    """Older versions have no such message."""
    machine = opened(version=version, options=MachineOptions(awaiting_on=AwaitingOnPolicy.ALWAYS))
    machine.progress(machine.sys_sleep(1))
    assert [item.type for item in written(machine)] == [T.SLEEP]


def test_await_one_is_progress_of_one():
    """The short way gives the same answers."""
    machine = opened()
    handle = machine.sys_sleep(1)
    assert machine.await_one(handle) is Progress.WAIT
    feed(machine, done(handle))
    assert machine.await_one(handle) is Progress.READY


# ---- implicit cancellation


@pytest.mark.parametrize("version", VERSIONS)
def test_core_cancellation_interrupts_an_await(version: ProtocolVersion):
    """A cancellation is delivered once, also where the result is there too; then awaits work again."""
    machine = opened(version=version)
    handle = machine.sys_sleep(1)
    feed(machine, done(handle), signal(CANCEL))
    assert machine.progress(handle) is Progress.READY
    later = machine.sys_sleep(1)
    assert machine.progress(of(ALL, later)) is Progress.CANCELLED
    assert machine.progress(handle) is Progress.READY
    assert machine.progress(later) is Progress.WAIT
    feed(machine, signal(CANCEL))
    assert machine.progress(later) is Progress.CANCELLED


def test_core_children_are_cancelled_in_creation_order():
    """Each call's invocation gets the signal, the ids being learned first; sends are left alone."""
    machine = opened()
    first, _ = machine.sys_call("S", "h", b"")
    machine.sys_send("S", "h", b"")
    _, result = machine.sys_call("S", "h", b"")
    feed(machine, child(first, "inv_a"))
    assert machine.progress(first) is Progress.READY
    assert machine.take(first) == "inv_a"
    feed(machine, signal(CANCEL), child(3, "inv_send"), child(4, "inv_b"))
    machine.data_to_send()
    assert machine.progress(result) is Progress.CANCELLED
    assert [item.message.target_invocation_id for item in written(machine)] == ["inv_a", "inv_b"]
    feed(machine, signal(CANCEL))
    assert machine.progress(result) is Progress.CANCELLED
    assert machine.data_to_send() == b""
    assert machine.take(4) == "inv_b"


def test_core_children_options():
    """Which children are cancelled can be chosen."""
    options = MachineOptions(cancel_children_calls=False, cancel_children_sends=True)
    machine = opened(options=options)
    machine.sys_call("S", "h", b"")
    send = machine.sys_send("S", "h", b"")
    feed(machine, signal(CANCEL), child(1, "inv_call"), child(send, "inv_send"))
    machine.data_to_send()
    assert machine.progress(machine.sys_sleep(1)) is Progress.CANCELLED
    targets = [item.message.target_invocation_id for item in written(machine) if item.type is T.SEND_SIGNAL]
    assert targets == ["inv_send"]


@pytest.mark.parametrize("version", VERSIONS)
def test_core_cancellation_waits_for_a_childs_id(version: ProtocolVersion):
    """An unknown id is awaited alone, without the cancellation beside it, and may suspend."""
    machine = opened(version=version)
    id_handle, result = machine.sys_call("S", "h", b"")
    feed(machine, signal(CANCEL))
    machine.data_to_send()
    assert machine.progress(result) is Progress.WAIT
    machine.receive_eof()
    machine.data_to_send()
    assert machine.progress(result) is Progress.SUSPENDED
    suspension = only(machine, T.SUSPENSION)
    if version is V7:
        assert suspension.awaiting_on == messages.Future(waiting_completions=[id_handle], combinator_type=1)
    else:
        assert suspension == messages.Suspension(waiting_completions=[id_handle])


def test_cancellations_that_come_meanwhile_are_not_lost():
    """Two cancellations are delivered as two, also when the second comes while a child's id is awaited."""
    machine = opened()
    id_handle, result = machine.sys_call("S", "h", b"")
    feed(machine, signal(CANCEL))
    assert machine.progress(result) is Progress.WAIT
    feed(machine, signal(CANCEL), child(id_handle, "inv_a"))
    assert machine.progress(result) is Progress.CANCELLED
    assert machine.progress(result) is Progress.CANCELLED
    assert machine.progress(result) is Progress.WAIT


def test_core_cancelling_children_is_replayed():
    """The signals to children are commands of the journal like any other."""
    call = entry(T.CALL, service_name="S", handler_name="h", invocation_id_notification_idx=1, result_completion_id=2)
    told = entry(T.SEND_SIGNAL, target_invocation_id="inv_a", idx=1, void=messages.Void())
    machine = opened(call, child(1, "inv_a"), signal(CANCEL), told)
    _, result = machine.sys_call("S", "h", b"")
    assert machine.progress(result) is Progress.CANCELLED
    assert machine.state is State.PROCESSING
    assert machine.data_to_send() == b""
    other = opened(call, child(1, "inv_b"), signal(CANCEL), told)
    _, result = other.sys_call("S", "h", b"")
    with pytest.raises(JournalMismatchError, match="'inv_b' now"):
        other.progress(result)


def test_a_childs_id_must_be_one():
    """A completion that should bring an invocation id and does not is the runtime's error."""
    machine = opened()
    id_handle, result = machine.sys_call("S", "h", b"")
    feed(machine, signal(CANCEL), child(id_handle, b"value"))
    with pytest.raises(RemoteProtocolError, match="invocation id"):
        machine.progress(result)
    assert only(machine, T.ERROR).code == 571


def test_core_explicit_cancellation():
    """In explicit mode a cancellation is a signal like others: it interrupts only who awaits it."""
    machine = opened(options=EXPLICIT)
    machine.sys_call("S", "h", b"")
    handle = machine.sys_sleep(1)
    feed(machine, signal(CANCEL))
    assert machine.progress(handle) is Progress.WAIT
    assert machine.progress(of(ALL, handle)) is Progress.WAIT
    assert machine.progress(of(FIRST, handle, CANCEL)) is Progress.READY
    assert machine.take(CANCEL) is None
    feed(machine, signal(CANCEL, Failure(1, "why")))
    assert machine.progress(CANCEL) is Progress.READY


def test_a_cancellation_that_nobody_awaits():
    """A handler that awaits nothing is not interrupted."""
    machine = opened(signal(CANCEL))
    machine.sys_set_state("a", b"")
    machine.sys_output(b"")
    machine.sys_end()
    assert machine.state is State.ENDED


def test_too_deep_awaits_leave_the_machine_usable():
    """A tree that is too deep is refused before anything happens."""
    tree: AwaitTree = 1
    for _ in range(300):
        tree = of(ALL, tree)
    machine = opened(version=V6)
    handle = machine.sys_sleep(1)
    for ask in (machine.progress, machine.is_resolved):
        with pytest.raises(LocalProtocolError, match="levels deep"):
            ask(tree)
    assert machine.progress(handle) is Progress.WAIT
