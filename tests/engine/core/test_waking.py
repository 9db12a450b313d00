"""Suspension and waking: flat lists, trees of futures, signals that come early or twice, sleeps."""

from __future__ import annotations

import itertools

import pytest

from durably.engine.core.waking import Verdict, depth_of, handles_of, judge
from durably.engine.events import CompleteAwakeable, SendSignal, TimerDue
from durably.engine.records import EngineOptions, Failure, Limits, Status
from durably.protocol import messages
from durably.protocol.ids import InvocationId, awakeable_id
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import Box, frame

UNKNOWN, FIRST, ALL, ANY_SUCCEEDED, ALL_SUCCEEDED = range(5)
P, M, S, F = Verdict.PENDING, Verdict.MAYBE, Verdict.SUCCEEDED, Verdict.FAILED


def future(combinator: int, *children: int | messages.Future) -> messages.Future:
    """A tree of completions."""
    return messages.Future(
        waiting_completions=[child for child in children if isinstance(child, int)],
        nested_futures=[child for child in children if not isinstance(child, int)],
        combinator_type=combinator,
    )


def sleep(completion_id: int, due: int):
    """A sleep's command."""
    return frame(T.SLEEP, messages.SleepCommand(wake_up_time=due, result_completion_id=completion_id))


def run(completion_id: int, value: bytes = b""):
    """A step's command and its result."""
    return (
        frame(T.RUN, messages.RunCommand(result_completion_id=completion_id)),
        frame(T.PROPOSE_RUN_COMPLETION, messages.ProposeRunCompletion(result_completion_id=completion_id, value=value)),
    )


@pytest.mark.parametrize("version", [5, 6, 7])
def test_suspension_on_what_is_there_already_resumes_at_once(version: int):
    """When the notification was stored while the service decided to suspend, the next attempt begins at once."""
    box = Box(version=version)
    invocation_id = box.started()
    box.send(invocation_id, *run(1))
    box.suspend(invocation_id, 1)
    assert box.status(invocation_id) is Status.RUNNING
    assert box.get(invocation_id).attempt == 2


@pytest.mark.parametrize("version", [5, 6, 7])
def test_suspended_until_the_sleep_is_over(version: int):
    """A sleep wakes the invocation at its time, not before; the journal has the completion."""
    box = Box(version=version)
    invocation_id = box.started()
    box.send(invocation_id, sleep(1, box.now + 100))
    box.suspend(invocation_id, 1)
    box.advance(99)
    assert box.status(invocation_id) is Status.SUSPENDED
    box.advance(1)
    assert box.status(invocation_id) is Status.RUNNING
    assert box.types(invocation_id) == [T.INPUT, T.SLEEP, T.SLEEP_COMPLETION]


def test_sleep_that_is_over_completes_at_once():
    """A wake-up time in the past needs no timer."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, sleep(1, box.now))
    assert box.types(invocation_id)[-1] == T.SLEEP_COMPLETION
    assert box.read(lambda reader: reader.next_timer()) is None


def test_timers_are_not_early():
    """A timer event whose time the clock has not reached fires nothing."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, sleep(1, box.now + 100))
    box.do(TimerDue(box.now + 100))
    assert box.types(invocation_id) == [T.INPUT, T.SLEEP]


def test_any_of_several_wakes():
    """Each of the listed completions and signals wakes; others do not."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, sleep(1, box.now + 10), sleep(2, box.now + 20))
    box.suspend(invocation_id, 2, names=["go"])
    box.advance(10)
    box.do(SendSignal(invocation_id, "stop", None))
    assert box.status(invocation_id) is Status.SUSPENDED
    box.do(SendSignal(invocation_id, "go", b"now"))
    assert box.status(invocation_id) is Status.RUNNING


def test_all_of_several():
    """A V7 suspension on all of several wakes with the last of them."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, sleep(1, box.now + 10), sleep(2, box.now + 20))
    tree = messages.Suspension(awaiting_on=future(ALL, 1, 2))
    box.send(invocation_id, frame(T.SUSPENSION, tree))
    box.advance(10)
    assert box.status(invocation_id) is Status.SUSPENDED
    box.advance(10)
    assert box.status(invocation_id) is Status.RUNNING


def test_empty_suspension_is_a_violation():
    """A suspension that nothing could end fails the attempt."""
    for version in (6, 7):
        box = Box(version=version)
        invocation_id = box.started()
        box.send(invocation_id, frame(T.SUSPENSION, messages.Suspension()))
        failure = box.get(invocation_id).last_failure
        assert failure is not None
        assert failure.doc_code == "RT0012"


def test_too_deep_trees_pause():
    """A tree nested deeper than the limit pauses the invocation (RT0025)."""
    box = Box(options=EngineOptions(limits=Limits(future_depth=3)))
    invocation_id = box.started()
    tree = future(ALL, future(ALL, future(ALL, future(ALL, 1))))
    assert depth_of(tree) == 4
    box.send(invocation_id, frame(T.SUSPENSION, messages.Suspension(awaiting_on=tree)))
    assert box.status(invocation_id) is Status.PAUSED


def test_signal_that_was_seen_does_not_wake_again():
    """A signal that an attempt began with was used: a later suspension on its name waits for a further one."""
    box = Box()
    invocation_id = box.started()
    box.do(SendSignal(invocation_id, "go", b"1"))
    box.suspend(invocation_id, names=["go"])
    assert box.get(invocation_id).attempt == 2
    box.suspend(invocation_id, names=["go"])
    assert box.status(invocation_id) is Status.SUSPENDED
    box.do(SendSignal(invocation_id, "go", b"2"))
    assert box.status(invocation_id) is Status.RUNNING
    assert box.types(invocation_id).count(T.SIGNAL) == 2


def test_awakeable_completed_before_it_is_awaited():
    """An awakeable may be completed before its creator waits: the journal keeps the signal."""
    box = Box()
    invocation_id = box.started()
    awakeable = awakeable_id(InvocationId.decode(invocation_id).raw, 17)
    box.do(CompleteAwakeable(awakeable, b"early"))
    assert box.last(invocation_id).signal_id == 17
    box.suspend(invocation_id, signals=[17, 1])
    assert box.status(invocation_id) is Status.RUNNING


def test_awakeable_rejected():
    """A rejected awakeable brings its failure and wakes."""
    box = Box()
    invocation_id = box.started()
    box.suspend(invocation_id, signals=[17, 1])
    awakeable = awakeable_id(InvocationId.decode(invocation_id).raw, 17)
    box.do(CompleteAwakeable(awakeable, Failure(500, "no")))
    assert box.status(invocation_id) is Status.RUNNING
    assert box.last(invocation_id).failure.message == "no"


def test_verdicts_of_flat_futures():
    """Each combinator of two children, with every pair of outcomes."""
    outcomes = {P: None, S: False, F: True}
    expected = {
        UNKNOWN: {"PP": P, "PS": M, "PF": M, "SS": M, "SF": M, "FF": M},
        FIRST: {"PP": P, "PS": S, "PF": F, "SS": S, "SF": M, "FF": F},
        ALL: {"PP": P, "PS": P, "PF": P, "SS": S, "SF": S, "FF": S},
        ANY_SUCCEEDED: {"PP": P, "PS": S, "PF": P, "SS": S, "SF": S, "FF": F},
        ALL_SUCCEEDED: {"PP": P, "PS": P, "PF": F, "SS": S, "SF": F, "FF": F},
    }
    for combinator, table in expected.items():
        for first, second in itertools.product(outcomes, repeat=2):
            given = {
                handle: outcome
                for handle, outcome in ((1, outcomes[first]), (2, outcomes[second]))
                if outcome is not None
            }
            name = "".join(sorted((first.name[0] + second.name[0]), key="PSF".index))
            assert judge(future(combinator, 1, 2), given) is table[name], (combinator, name)


def test_verdicts_of_nested_futures():
    """What is nested is one child; where it is indeterminate and could decide its parent, the handler is asked."""
    unknown = future(UNKNOWN, 1, 2)
    done = {1: False}
    assert judge(future(ALL, unknown, 3), done) is P
    assert judge(future(ALL, unknown, 3), {**done, 3: False}) is M
    assert judge(future(FIRST, unknown, 3), done) is M
    assert judge(future(ANY_SUCCEEDED, unknown, 3), done) is M
    assert judge(future(ANY_SUCCEEDED, unknown, 3), {**done, 3: False}) is S
    assert judge(future(ALL_SUCCEEDED, unknown, 3), done) is M
    assert judge(future(ALL_SUCCEEDED, unknown, 3), {**done, 3: True}) is F
    deep = future(FIRST, future(ALL, 1, future(ANY_SUCCEEDED, 2, 3)), 4)
    assert judge(deep, {1: False, 2: True}) is P
    assert judge(deep, {1: True, 3: False}) is S
    assert set(handles_of(deep)) == {1, 2, 3, 4}


def test_ten_thousand_timers_fire_in_batches():
    """What is due at once is handled in several events, each of which asks for the next."""
    box = Box()
    invocation_id = box.started()
    for start in range(1, 1001, 100):
        box.send(invocation_id, *(sleep(number, box.now + 5) for number in range(start, start + 100)))
    box.now += 5
    events = 0
    while box.read(lambda reader: reader.next_timer()) is not None:
        box.do(TimerDue(box.now))
        events += 1
    assert events == 5
    assert box.types(invocation_id).count(T.SLEEP_COMPLETION) == 1000
