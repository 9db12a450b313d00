"""The parts of the running engine one by one: clock, timers, replies, messages between engines."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durably import ManualClock
from durably.engine import actions, events, wire
from durably.engine.clock import RealClock
from durably.engine.records import Failure, StateEdit, Target
from durably.engine.replies import Replies
from durably.engine.timers import Timers
from durably.errors import ClientError, EngineStoppedError
from tests.engine.runtime.conftest import eventually

MESSAGES = [
    events.Invoke(Target("S", "k\0", "h"), b"\xff\x00", (("a", "b"),), is_send=True, delay_until_ms=5),
    events.EditState("s", "k", StateEdit({b"\xff": b"\x00"}), None),
    events.CompleteAwakeable("x", Failure(500, "no", (("a", "b"),))),
    events.CompleteAwakeable("x", b"\xfe"),
    events.SendSignal("i", 3, b"1"),
    events.SendSignal("i", "3", None),
    events.Attach(events.WorkflowSelector("w", "k"), 0),
    events.Attach(events.InvocationSelector("w"), 0),
    events.GetOutput(events.IdempotentSelector("w", "", "h", "i"), 0),
    events.Kill("i"),
    events.Cancel("i"),
    actions.Success("i", b"\xff", 5),
    actions.Failed(400, "x", (("a", "b"),)),
    actions.Accepted("i", is_new=True),
    actions.Done(appended=True),
]


@pytest.mark.parametrize("message", MESSAGES, ids=[f"{type(each).__name__}-{at}" for at, each in enumerate(MESSAGES)])
def test_a_message_between_engines_is_read_as_it_was_written(message: Any):
    """Every request and outcome survives, bytes of any kind and equal-looking classes included."""
    frame = wire.encode(7, "", message)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert wire.decode(frame[4:]) == (7, type(message).__name__, message)


@pytest.mark.parametrize("body", [b"", b"[]", b"[1]", b'[1,"Invoke",{"target":5}]', b'[1,"Kill",null]', b"\xff"])
def test_a_message_that_cannot_be_read_is_refused(body: bytes):
    """Nothing of a malformed message is guessed."""
    with pytest.raises(ClientError):
        wire.decode(body)


async def test_the_real_clock_rings_once_and_not_early():
    """An alarm rings at its time by the clock it was set on; a cancelled one does not ring."""
    clock, rings = RealClock(), list[int]()
    due = clock.now_ms() + 20
    clock.set_alarm(due, lambda: rings.append(clock.now_ms()))
    clock.set_alarm(due, lambda: rings.append(0)).cancel()
    await eventually(lambda: rings)
    await asyncio.sleep(0.01)
    [rang] = rings
    assert rang >= due


async def test_the_manual_clock_rings_when_it_is_moved(clock: ManualClock):
    """Alarms ring in the order of their times; past ones at once; none when the clock goes back."""
    rings: list[str] = []
    now = clock.now_ms()
    clock.set_alarm(now + 2000, lambda: rings.append("second"))
    clock.set_alarm(now + 1000, lambda: rings.append("first"))
    clock.set_alarm(now + 1500, lambda: rings.append("never")).cancel()
    clock.set_alarm(now, lambda: rings.append("past"))
    await asyncio.sleep(0)
    assert rings == ["past"]
    clock.move_to(now - 5000)
    clock.advance(timedelta(seconds=5))
    await asyncio.sleep(0)
    assert rings == ["past"]
    assert clock.next_alarm_ms == now + 1000
    clock.advance(timedelta(days=1))
    await asyncio.sleep(0)
    assert rings == ["past", "first", "second"]
    assert clock.next_alarm_ms is None


async def test_timers_report_the_earliest(clock: ManualClock):
    """One alarm is set, for the earliest time asked for; nothing is reported after the stop."""
    reported: list[events.Event] = []
    timers = Timers(clock, reported.append)
    now = clock.now_ms()
    for due in (now + 3000, now + 1000, now + 2000):
        timers.arm(due)
    clock.move_to(now + 1000)
    await asyncio.sleep(0)
    assert reported == [events.TimerDue(now + 1000)]
    timers.arm(now + 3000)
    timers.stop()
    clock.move_to(now + 9000)
    await asyncio.sleep(0)
    assert len(reported) == 1


async def test_sweeps_keep_their_distance(clock: ManualClock):
    """However often a sweep is asked for, the next comes a moment after the last: work goes on in between."""
    reported: list[events.Event] = []
    timers = Timers(clock, reported.append)
    now = clock.now_ms()
    timers.arm_sweep(now)
    await asyncio.sleep(0)
    timers.arm_sweep(now + 1)
    clock.move_to(now + 49)
    await asyncio.sleep(0)
    assert reported == [events.Sweep()]
    clock.move_to(now + 50)
    await asyncio.sleep(0)
    assert reported == [events.Sweep(), events.Sweep()]


async def test_replies_answer_who_still_waits():
    """A request is answered once; one that was forgotten is not; a settled invocation answers all of its own."""
    replies = Replies()
    tokens, futures = zip(*(replies.expect() for _ in range(4)), strict=True)
    for token in tokens[:3]:
        replies.hold(token, "inv")
    replies.forget(tokens[0])
    replies.settle("inv", actions.Success("inv", b"x"))
    replies.settle("inv", actions.Success("inv", b"y"))
    assert not futures[0].done()
    assert [future.result() for future in futures[1:3]] == [actions.Success("inv", b"x")] * 2
    replies.fail_all(EngineStoppedError("over"))
    with pytest.raises(EngineStoppedError):
        futures[3].result()
    replies.hold(tokens[3], "inv")
    replies.forget(tokens[3])
    assert len(replies) == 0
