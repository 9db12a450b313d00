"""Crash everywhere: what is compared, what is reported, how it is bounded, and how runs stay apart."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably.testing.crashes import CrashOptions, CrashSession, crash_everywhere
from durably.testing.effects import Effects
from durably.testing.embedded import EmbeddedEnvironment
from durably.testing.findings import Finding, HandlerFaultError
from durably.testing.harness import blocking_test_harness
from durably.testing.options import HarnessOptions
from tests.testing.shop import SERVICES, add, place, stock

pytestmark = pytest.mark.anyio
QUICK = CrashOptions(processes=0)


async def order(env: EmbeddedEnvironment) -> Any:
    """Place one order."""
    return await env.client.call(place, 3), await env.state_of(stock, "apples").all()


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("skip_time", [False, True])
async def test_a_correct_scenario_holds(always_replay: bool, skip_time: bool):
    """Calls, steps, state and timers hold wherever they crash, with shuffled completions, by either clock."""
    service = durably.Service("Calm")

    @service.handler()
    async def calm(ctx: durably.Context) -> list[int]:
        await ctx.sleep(timedelta(milliseconds=2))
        return list(await asyncio.gather(ctx.object_call(add, "a", 1), ctx.object_call(add, "b", 2)))

    async def scenario(env: EmbeddedEnvironment) -> list[int]:
        return await env.client.call(calm)

    harness = HarnessOptions(skip_time=skip_time, always_replay=always_replay)
    options = CrashOptions(processes=0, shuffles=range(3), most_crashes=8)
    report = await crash_everywhere(scenario, [service, *SERVICES], options=options, harness=harness)
    assert report.check().findings == []
    assert report.crashes <= 8
    assert report.runs == 1 + 1 + report.crashes + 3


async def test_every_entry_gets_its_crash():
    """Each entry that a handler writes is lost once and stored once before the connection goes; the others once."""
    report = (await crash_everywhere(order, SERVICES, options=QUICK)).check()
    # place: lost and stored call, run, result of the run, sleep, output; stored id, result, timer. take: two, output.
    assert report.crashes == 2 * 5 + 3 + 2 * 3
    assert report.runs == report.crashes + 2


async def test_what_the_undisturbed_run_raises_arrives():
    """A scenario that fails by itself fails as it is, and is not run again."""
    runs: list[int] = []

    async def scenario(env: EmbeddedEnvironment) -> None:
        runs.append(1)
        raise LookupError("of the test")

    with pytest.raises(LookupError, match="of the test"):
        await crash_everywhere(scenario, SERVICES, options=QUICK)
    assert runs == [1]


async def test_results_that_differ_are_found():
    """A scenario that gives something else after a crash is found, though no handler left its journal."""
    attempts: list[int] = []
    service = durably.Service("Counting")

    @service.handler()
    async def count(ctx: durably.Context) -> None:
        attempts.append(1)
        await ctx.run_typed("step", lambda: None)

    async def scenario(env: EmbeddedEnvironment) -> int:
        attempts.clear()
        await env.client.call(count)
        return len(attempts)

    report = await crash_everywhere(scenario, service, options=QUICK)
    assert "the scenario gave 2, and 1 before" in str(report.findings[0])
    with pytest.raises(HandlerFaultError, match=r"\d findings in \d+ runs"):
        report.check()


async def test_state_and_results_of_others_are_compared():
    """What a handler that nobody looks at comes to, and what it leaves, counts as well."""
    attempts: list[int] = []
    thing = durably.VirtualObject("Thing")

    @thing.handler()
    async def tally(ctx: durably.ObjectContext) -> int:
        await ctx.run_typed("step", lambda: None)
        value = await ctx.run_typed("value", lambda: len(attempts))
        ctx.set("value", value)
        return value

    @thing.handler(kind="shared")
    async def begin(ctx: durably.ObjectSharedContext) -> None:
        attempts.append(1)
        await ctx.run_typed("step", lambda: None)
        ctx.object_send(tally, "x", None)

    async def scenario(env: EmbeddedEnvironment) -> None:
        attempts.clear()
        await env.client.call(begin, key="x")

    report = await crash_everywhere(scenario, thing, options=QUICK)
    text = "\n".join(map(str, report.findings))
    assert "Thing/tally (invocation 1) came to 2, and to 1 before" in text
    assert "state 'value' of Thing['x'] is 2, and was 1 before" in text


async def test_the_order_of_completions_is_found():
    """A test that relies on the order in which steps end fails for some seed, and the seed is named."""
    service = durably.Service("Order")

    @service.handler()
    async def race(ctx: durably.Context) -> list[str]:
        ended: list[str] = []

        async def step(name: str) -> None:
            await ctx.run_typed(name, lambda: None)
            ended.append(name)

        await asyncio.gather(*(step(name) for name in "abcd"))
        return ended

    async def scenario(env: EmbeddedEnvironment) -> None:
        assert await env.client.call(race) == list("abcd")

    options = CrashOptions(processes=0, shuffles=range(5), most_crashes=1)
    report = await crash_everywhere(scenario, service, options=options)
    assert any("the test failed: AssertionError" in each.what and "shuffle=" in each.how for each in report.findings)


async def test_a_run_that_does_not_end_is_bounded():
    """A scenario that hangs when it is disturbed is a finding after a time, not the end of the test session."""
    attempts: list[int] = []
    service = durably.Service("Hanging")

    @service.handler()
    async def hang(ctx: durably.Context) -> None:
        attempts.append(1)
        if len(attempts) > 1:
            await asyncio.Event().wait()
        await ctx.run_typed("step", lambda: None)

    async def scenario(env: EmbeddedEnvironment) -> None:
        await env.client.call(hang)

    options = CrashOptions(processes=0, limit=timedelta(milliseconds=400), before_each=attempts.clear, most_crashes=1)
    report = await crash_everywhere(scenario, service, options=options)
    assert "came to no end, and to nothing before" in report.findings[0].what


def test_a_session_runs_blocking_tests():
    """Tests that do not await run everywhere with a session."""
    session = CrashSession(QUICK)
    for run in session.runs():
        with run.active(), blocking_test_harness(SERVICES, skip_time=True) as harness:
            run.value = harness.client.call(add, 2, key="pears")
    assert session.report.check().crashes >= 4


async def test_chance_is_as_it_was():
    """The seed of `random` that the runs change is set back."""
    random.seed(4)
    expected = [random.random() for _ in range(3)]
    random.seed(4)
    (await crash_everywhere(order, SERVICES, options=QUICK)).check()
    assert [random.random() for _ in range(3)] == expected


async def test_handlers_in_functions_are_not_replayed_elsewhere():
    """A handler that another process cannot import is listed; those that it can are replayed there."""
    service = durably.Service("Local")

    @service.handler()
    async def local(ctx: durably.Context) -> None:
        await ctx.object_call(add, "a", 1)

    async def scenario(env: EmbeddedEnvironment) -> None:
        await env.client.call(local)

    report = await crash_everywhere(scenario, [service, *SERVICES], options=CrashOptions(most_crashes=1))
    assert report.check().not_replayed == ["Local/local"]


async def test_effects():
    """Effects are told apart by name, details and key; where they happened is kept."""
    effects = Effects()
    service = durably.Service("Effects")

    @service.handler()
    async def act(ctx: durably.Context) -> None:
        effects.record("direct", 1)
        await ctx.run_typed("step", effects.recording("plain", lambda: None))
        await ctx.run_typed("later", effects.recording("later", asyncio.sleep), delay=0)

    async def scenario(env: EmbeddedEnvironment) -> None:
        effects.record("by the test")
        await env.client.call(act)

    report = await crash_everywhere(
        scenario, service, options=CrashOptions(processes=0, most_crashes=3), effects=effects
    )
    assert {"direct"} <= {finding.what.split("'")[1] for finding in report.findings}
    assert effects.named("direct")[0].is_in_handler
    assert not effects.named("direct")[0].is_in_step
    assert effects.named("plain")[0].is_in_step
    assert not effects.named("by the test")[0].is_in_handler
    assert effects.record("direct", 1, key="k") == 1 + len(effects.named("direct")) - 1
    effects.record("direct", 2, key="k")
    assert effects.counts()["direct", "key k"] == 1


def test_findings_that_are_many():
    """A long list is cut, and says how much is left."""
    error = HandlerFaultError([Finding(f"what {number}", "how") for number in range(20)])
    assert "… and 8 more" in str(error)
    assert len(error.findings) == 20


async def test_handlers_that_are_still_at_work(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """Work that does not come to rest after a run is left after a time, with a word in the log."""
    monkeypatch.setattr("durably.testing.embedded._REST_LIMIT_S", 0.02)
    service = durably.Service("Busy")

    @service.handler()
    async def busy(ctx: durably.Context) -> None:
        await asyncio.Event().wait()

    async def scenario(env: EmbeddedEnvironment) -> None:
        await env.client.send(busy)

    with caplog.at_level(logging.WARNING, "durably.testing"):
        await crash_everywhere(scenario, service, options=QUICK)
    assert "still at work" in caplog.text
