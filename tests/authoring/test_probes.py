"""The probe of a test kit: what it is asked and told while attempts run, and that without one nothing changes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import durably
from durably.authoring.location import caller_location, handled_location
from durably.authoring.probes import probe
from durably.machine import Machine
from durably.protocol import messages as wire
from durably.protocol.messages import MessageType
from tests.authoring.playing import run_once

DAY_MS = 86_400_000


class Recorder:
    """A probe that stands at one day after the epoch, and lets steps give their own name."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.seen: list[tuple[str, str | None]] = []

    def now_ms(self) -> int:
        """Tell the time."""
        return DAY_MS

    def machine(self, version: Any, options: Any) -> Machine:
        """Make a plain one."""
        return Machine(version, options, locate=caller_location)

    def step(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """Stand in for steps of users."""
        return action if name == "timestamp" else lambda: f"stood in for {name}"

    def swallowed(self, context: Any, outcome: object) -> None:
        """Note who swallowed what."""
        self.seen.append((type(outcome).__name__, handled_location(context.ended)))


def play(handler: Any) -> tuple[Any, Recorder]:
    """Run a handler with a probe."""
    recorder = Recorder()
    token = probe.set(recorder)
    try:
        return run_once(handler, streaming=False), recorder
    finally:
        probe.reset(token)


def test_time_and_steps_come_from_the_probe():
    """Timers, delays, the recorded time and what steps execute are asked of the probe."""

    async def handler(ctx: durably.Context) -> tuple[float, str]:
        now, step = await ctx.time(), await ctx.run_typed("charge", lambda: "charged")
        await ctx.sleep(timedelta(seconds=1))
        return now, step

    runtime, recorder = play(handler)
    assert runtime.result == [86_400.0, "stood in for charge"]
    sleep = next(payload for kind, payload in runtime.journal if kind == MessageType.SLEEP)
    assert wire.SleepCommand.FromString(sleep).wake_up_time == DAY_MS + 1000
    assert recorder.seen == []


def test_a_swallowed_signal_is_told():
    """A handler that returns, or raises something else, after its attempt was suspended is told of, with the line."""

    async def returns(ctx: durably.Context) -> str:
        with contextlib.suppress(BaseException):
            await ctx.sleep(timedelta(seconds=1))
        return "early"

    async def raises(ctx: durably.Context) -> None:
        try:
            await ctx.sleep(timedelta(seconds=1))
        except BaseException:
            raise KeyError("other") from None

    for handler, outcome in ((returns, "str"), (raises, "KeyError")):
        _, recorder = play(handler)
        assert recorder.seen[0][0] == outcome
        location = recorder.seen[0][1]
        assert location is not None
        assert location.startswith(__file__)
