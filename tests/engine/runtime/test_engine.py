"""Handlers on a running engine, from a client in the same process: what they return, wait for and leave behind."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from durably import Engine, EngineOptions, HttpError, ManualClock
from durably.engine.records import Limits, RetryPolicy
from durably.errors import ConfigurationError, EngineStoppedError, UsageError
from tests.engine.runtime.conftest import eventually
from tests.engine.runtime.services import WEEK, Shop

QUICK = RetryPolicy(initial_interval_ms=1, max_interval_ms=2)


async def test_a_call_returns_what_the_handler_does(url: str, shop: Shop):
    """A call reaches a handler in this process without a socket, and its value comes back."""
    async with Engine(url, shop.services) as engine:
        assert await engine.client().call(shop.hello, "world") == "hello world"
        assert await engine.client().generic_call("Plain", "hello", b'"you"') == b'"hello you"'


async def test_steps_are_journaled_once(url: str, shop: Shop):
    """Every step of a handler runs once when nothing fails."""
    async with Engine(url, shop.services) as engine:
        assert await engine.client().call(shop.steps, 20) == 20
    assert set(shop.world.runs.values()) == {1}
    assert len(shop.world.runs) == 20


async def test_a_terminal_error_reaches_the_caller(url: str, shop: Shop):
    """The status and the message of a terminal error are the client's."""
    async with Engine(url, shop.services) as engine:
        with pytest.raises(HttpError, match="refused") as caught:
            await engine.client().call(shop.refuse, 418)
    assert caught.value.status_code == 418


async def test_an_unknown_handler_is_refused(url: str, shop: Shop):
    """A target that nobody registered is a 404, and nothing is stored."""
    async with Engine(url, shop.services) as engine:
        with pytest.raises(HttpError) as caught:
            await engine.client().generic_call("Nobody", "home", b"")
    assert caught.value.status_code == 404


async def test_a_failed_attempt_is_retried_from_its_journal(url: str, shop: Shop):
    """The step before the failure is not run again, however often the rest fails."""
    shop.world.fail["x"] = 3
    async with Engine(url, shop.services, options=EngineOptions(retry_policy=QUICK)) as engine:
        assert await engine.client().call(shop.flaky, "x") == "done x"
    assert shop.world.runs["before x"] == 1
    assert shop.world.log == ["failed x"] * 3


async def test_a_retry_waits_on_the_engines_clock(url: str, shop: Shop, clock: ManualClock):
    """The next attempt starts when the clock has moved, not before."""
    shop.world.fail["x"] = 1
    async with Engine(url, shop.services, clock=clock) as engine:
        call = asyncio.create_task(engine.client().call(shop.flaky, "x"))
        await eventually(lambda: shop.world.log and clock.next_alarm_ms is not None)
        await asyncio.sleep(0.02)
        assert not call.done()
        await _advance_until(clock, call, timedelta(seconds=1))
        assert await call == "done x"


async def test_a_week_passes_in_milliseconds(url: str, shop: Shop, clock: ManualClock):
    """A handler that sleeps for a week ends as soon as the clock is moved, and runs each step once."""
    async with Engine(url, shop.services, clock=clock) as engine:
        call = asyncio.create_task(engine.client().call(shop.sleep, "x"))
        await eventually(lambda: shop.world.runs["before x"])
        started = time.monotonic()
        await _advance_until(clock, call, WEEK)
        assert await call == "slept x"
        assert time.monotonic() - started < 2
    assert shop.world.runs == {"before x": 1, "after x": 1}


async def test_sync_handlers_run_beside_async_ones(url: str, shop: Shop, clock: ManualClock):
    """A `def` handler with steps and a sleep ends like an `async def` one."""
    async with Engine(url, shop.services, clock=clock) as engine:
        call = asyncio.create_task(engine.client().call(shop.sync_steps, 3))
        await eventually(lambda: shop.world.runs["sync step 2"])
        await _advance_until(clock, call, WEEK)
        assert await call == 3
        assert await engine.client().call(shop.sync_add, 2, key="s") == 2
    assert set(shop.world.runs.values()) == {1}


async def test_a_delayed_send_waits_for_its_time(url: str, shop: Shop, clock: ManualClock):
    """A send with a delay is accepted at once and runs when the clock gets there."""
    async with Engine(url, shop.services, clock=clock) as engine:
        client = engine.client()
        handle = await client.send(shop.add, 7, key="k", delay=timedelta(days=2))
        assert not (await client.output(handle.invocation_id)).is_ready
        clock.advance(timedelta(days=1))
        await asyncio.sleep(0.02)
        assert not (await client.output(handle.invocation_id)).is_ready
        clock.advance(timedelta(days=1))
        assert await client.attach(handle.invocation_id, type_hint=int) == 7


async def test_an_awakeable_wakes_its_handler(url: str, shop: Shop):
    """Resolving an awakeable from outside gives the handler its value; rejecting gives it a failure."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        calls = [asyncio.create_task(client.call(shop.approve, name)) for name in ("a", "b")]
        await eventually(lambda: len(shop.world.awakeables) == 2)
        await client.resolve_awakeable(shop.world.awakeables["a"], "yes")
        await client.reject_awakeable(shop.world.awakeables["b"], "never")
        assert await calls[0] == "a: yes"
        with pytest.raises(HttpError, match="never"):
            await calls[1]


async def test_a_suspended_handler_is_woken(url: str, shop: Shop):
    """With no inactivity allowed a waiting handler leaves, and comes back when what it waits for is there."""
    async with Engine(url, shop.services, options=EngineOptions(inactivity_timeout_ms=0)) as engine:
        client = engine.client()
        call = asyncio.create_task(client.call(shop.parent, "a"))
        await eventually(lambda: "a" in shop.world.awakeables)
        await asyncio.sleep(0.02)
        await client.resolve_awakeable(shop.world.awakeables["a"], "yes")
        assert await call == "a: yes"


async def test_an_idle_attempt_is_asked_to_suspend(url: str, shop: Shop, clock: ManualClock):
    """After the inactivity timeout a waiting handler leaves its stream, and a later result brings it back."""
    options = EngineOptions(inactivity_timeout_ms=60_000)
    async with Engine(url, shop.services, clock=clock, options=options) as engine:
        client = engine.client()
        call = asyncio.create_task(client.call(shop.approve, "a"))
        await eventually(lambda: "a" in shop.world.awakeables)
        first = shop.world.awakeables["a"]
        clock.advance(timedelta(seconds=61))
        await eventually(lambda: _open_attempts(engine) == 0)
        await client.resolve_awakeable(first, "late")
        assert await call == "a: late"


async def test_an_objects_key_has_one_handler_at_a_time(url: str, shop: Shop):
    """Calls of one key run one after the other in the order they came, those of another key beside them."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        first = asyncio.create_task(client.call(shop.hold, "first", key="k"))
        await eventually(lambda: "first" in shop.world.awakeables)
        second = asyncio.create_task(client.call(shop.hold, "second", key="k"))
        assert await client.call(shop.add, 1, key="other") == 1
        assert await client.call(shop.value, key="k") == 0
        assert "second" not in shop.world.awakeables
        await client.resolve_awakeable(shop.world.awakeables["first"], "1")
        assert await first == "1"
        await eventually(lambda: "second" in shop.world.awakeables)
        await client.resolve_awakeable(shop.world.awakeables["second"], "2")
        assert await second == "2"
    held = [line for line in shop.world.log if line.startswith("k ")]
    assert held == ["k held by first", "k left by first", "k held by second", "k left by second"]


async def test_concurrent_adds_lose_nothing(url: str, shop: Shop):
    """A hundred calls of one key see each other's state, in one chain."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        values = await asyncio.gather(*(client.call(shop.add, 1, key="k") for _ in range(100)))
    assert sorted(values) == list(range(1, 101))


async def test_a_workflow_runs_once_for_its_key(url: str, shop: Shop):
    """A second submission of a key is refused, a promise is resolved from outside, the result stays."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        run = asyncio.create_task(client.call(shop.place, "shoe", key="1"))
        await eventually(lambda: shop.world.runs["reserve shoe"])
        with pytest.raises(HttpError) as caught:
            await client.call(shop.place, "shoe", key="1")
        assert caught.value.status_code == 409
        assert not (await client.workflow_output(shop.place, "1")).is_ready
        await client.call(shop.pay, "card", key="1")
        assert await run == "shoe paid by card"
        assert await client.workflow_attach(shop.place, "1") == "shoe paid by card"
    assert shop.world.runs["reserve shoe"] == 1


async def test_an_idempotency_key_makes_calls_one(url: str, shop: Shop):
    """The same key gives the same invocation, while it runs and after."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        calls = [client.call(shop.add, 1, key="k", idempotency_key="once") for _ in range(5)]
        assert await asyncio.gather(*calls) == [1] * 5
        assert await client.call(shop.add, 1, key="k", idempotency_key="once") == 1
        assert not (await client.send(shop.add, 1, key="k", idempotency_key="once")).is_new


async def test_a_cancelled_invocation_ends_with_its_children(url: str, shop: Shop):
    """Cancelling reaches the handler that waits and what it called."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        handle = await client.send(shop.parent, "a")
        await eventually(lambda: "a" in shop.world.awakeables)
        await client.cancel(handle.invocation_id)
        with pytest.raises(HttpError) as caught:
            await client.attach(handle.invocation_id)
        assert caught.value.status_code == 409
        await eventually(lambda: _open_attempts(engine) == 0)


async def test_a_killed_invocation_frees_its_key(url: str, shop: Shop):
    """Killing asks no handler, answers 409, and lets the next one in."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        handle = await client.send(shop.hold, "a", key="k")
        await eventually(lambda: "a" in shop.world.awakeables)
        following = asyncio.create_task(client.call(shop.add, 3, key="k"))
        await client.kill(handle.invocation_id)
        with pytest.raises(HttpError) as caught:
            await client.attach(handle.invocation_id)
        assert caught.value.status_code == 409
        assert await following == 3


async def test_more_calls_than_attempts_are_allowed(url: str, shop: Shop):
    """What exceeds the limit waits for its turn; callers that wait for it are asked to suspend meanwhile."""
    options = EngineOptions(limits=Limits(attempts_in_flight=2))
    async with Engine(url, shop.services, options=options) as engine:
        client = engine.client()
        values = await asyncio.gather(*(client.call(shop.call_counter, "k") for _ in range(6)))
    assert sorted(values) == [1, 2, 3, 4, 5, 6]


async def test_a_cancelled_wait_leaves_the_invocation(url: str, shop: Shop):
    """A client that stops waiting does not stop the work."""
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        call = asyncio.create_task(client.call(shop.approve, "a", idempotency_key="i"))
        await eventually(lambda: "a" in shop.world.awakeables)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.resolve_awakeable(shop.world.awakeables["a"], "yes")
        assert await client.call(shop.approve, "a", idempotency_key="i") == "a: yes"


def test_a_blocking_application_has_the_engine_on_a_thread(url: str, shop: Shop):
    """Without an event loop of its own an application starts, calls, sends and stops."""
    with Engine(url, shop.services) as engine:
        client = engine.sync_client()
        assert client.call(shop.hello, "world") == "hello world"
        handle = client.send(shop.add, 2, key="k")
        assert client.attach(handle.invocation_id, type_hint=int) == 2
        assert client.output(handle.invocation_id, type_hint=int).value == 2
        assert asyncio.run(_call_from_another_loop(engine, shop)) == "hello there"
    with pytest.raises(EngineStoppedError):
        client.call(shop.hello, "late")


async def _call_from_another_loop(engine: Engine, shop: Shop) -> str:
    return await engine.client().call(shop.hello, "there")


async def test_a_blocking_call_on_the_engines_loop_is_refused(shop: Shop):
    """It would wait for itself."""
    async with Engine("memory://", shop.services) as engine:
        with pytest.raises(UsageError, match="wait for itself"):
            engine.sync_client().call(shop.hello, "me")


async def test_an_engine_is_used_once(shop: Shop):
    """After it was stopped it answers that, and cannot be started again."""
    engine = Engine("memory://", shop.services)
    with pytest.raises(EngineStoppedError):
        await engine.client().call(shop.hello, "early")
    async with engine:
        pass
    with pytest.raises(EngineStoppedError):
        await engine.client().call(shop.hello, "late")
    with pytest.raises(UsageError):
        await engine.__aenter__()


@pytest.mark.parametrize(
    "bad",
    ["postgres://x/y", "http://localhost:8080", "sqlite://", "sqlite:///", "sqlite://host/file", "", "sqlite:///a?b"],
)
def test_a_url_that_names_no_store_is_refused(bad: str):
    """The message says what to give."""
    with pytest.raises(ConfigurationError) as caught:
        Engine(bad)
    assert "sqlite:///" in f"{caught.value.hint} {caught.value}"


async def test_a_stop_is_bounded_while_handlers_wait(url: str, shop: Shop):
    """Handlers that wait for what does not come do not hold up the end."""
    async with Engine(url, shop.services, stop_grace=timedelta(seconds=1)) as engine:
        client = engine.client()
        calls = [asyncio.create_task(client.call(shop.approve, str(number))) for number in range(10)]
        await eventually(lambda: len(shop.world.awakeables) == 10)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    for call in calls:
        with pytest.raises(EngineStoppedError):
            await call


def _open_attempts(engine: Engine) -> int:
    node = engine._node  # what is open is not public
    assert node is not None
    runtime = node._runtime
    assert runtime is not None
    return runtime.open_attempts


async def _advance_until(clock: ManualClock, done: asyncio.Future[object], by: timedelta) -> None:
    """Move the clock until the future is done: what sets alarms may do so after each move."""
    deadline = time.monotonic() + 5
    while not done.done():
        assert time.monotonic() < deadline, "it did not end in time"
        clock.advance(by)
        await asyncio.sleep(0.005)
