"""The harness in memory: what it accepts, how long it takes, what it refuses, and what it finds on its own."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import restate

import durably
from durably.engine.options import EngineOptions
from durably.errors import ConfigurationError, UsageError
from durably.machine import AwaitingOnPolicy, MachineOptions
from durably.protocol.versions import ProtocolVersion
from durably.testing.findings import HandlerFaultError
from durably.testing.harness import blocking_test_harness, create_test_harness
from tests.testing.shop import SERVICES, add, approve, fulfil, greet, orders, place, remind, stock

pytestmark = pytest.mark.anyio


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """Serve nothing."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    "given",
    [
        SERVICES,
        durably.app(SERVICES),
        durably.Endpoint().bind(*SERVICES),
        SimpleNamespace(endpoint=durably.Endpoint().bind(*SERVICES)),
        SimpleNamespace(link=SimpleNamespace(endpoint=durably.Endpoint().bind(*SERVICES))),
        orders,
    ],
    ids=["services", "application", "endpoint", "adapter", "adapter with a link", "one service"],
)
async def test_whatever_has_services_can_be_tested(given: Any):
    """Services, an application, an endpoint and an adapter's object give the same harness."""
    async with create_test_harness(given) as env:
        assert await env.client.call(greet, "Ada") == "Hello Ada"


async def test_a_foreign_application_can_be_tested():
    """Any ASGI application that serves the protocol is run, here one that wraps ours."""
    inner = durably.app(SERVICES)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    async with create_test_harness(outer) as env:
        assert await env.client.call(greet, "Ada") == "Hello Ada"


@pytest.mark.parametrize(
    ("why", "options"),
    [("restate-sdk", {}), ("up to version 6", {"engine": EngineOptions(max_protocol_version=ProtocolVersion.V6)})],
)
async def test_time_cannot_be_skipped_unseen(why: str, options: dict[str, Any]):
    """Attempts that do not tell when they wait would be waited for without end; suspended ones need not tell."""
    service: Any = restate.Service("Foreign") if why == "restate-sdk" else durably.Service("Older")

    @service.handler()
    async def wait(ctx: Any, days: int) -> int:
        await ctx.sleep(timedelta(days=days))
        return days

    app = restate.app([service]) if why == "restate-sdk" else durably.app([service])
    with pytest.raises(UsageError, match=f"skip_time cannot work .* {why}.* always_replay=True"):
        async with durably.create_test_harness(app, skip_time=True, **options):
            pytest.fail("it started")
    if not options:
        async with durably.create_test_harness(app, skip_time=True, always_replay=True) as env:
            assert await env.client.generic_call("Foreign", "wait", b"3") == b"3"


async def test_attempts_that_are_told_not_to_say_what_they_wait_for():
    """So it is where the application's own options keep attempts silent."""
    service = durably.Service("Silent")
    options = MachineOptions(awaiting_on=AwaitingOnPolicy.NEVER)
    with pytest.raises(UsageError, match="awaiting_on=NEVER"):
        async with durably.create_test_harness(durably.app([service], machine_options=options), skip_time=True):
            pytest.fail("it started")


async def test_what_cannot_be_run_is_refused():
    """Something without services is refused before anything starts, and so is a name that is taken twice."""
    with pytest.raises(UsageError, match="cannot run 7"):
        async with create_test_harness(7):
            pass
    with pytest.raises(ConfigurationError, match="cannot be registered"):
        async with create_test_harness(broken):
            pass


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("shuffle", [None, 1, 2])
@pytest.mark.parametrize("disable_retries", [False, True])
async def test_options_combine(always_replay: bool, shuffle: int | None, disable_retries: bool):
    """A handler with calls, steps and timers gives the same result with every combination of options."""
    async with create_test_harness(
        SERVICES, always_replay=always_replay, shuffle=shuffle, disable_retries=disable_retries, skip_time=True
    ) as env:
        assert await env.client.call(place, 3) == "r-1: 3, 7 left"
        assert await env.state_of(stock, "apples").all() == {"left": 7}


async def test_months_pass_at_once():
    """Timers of a handler, one after the other, fire in milliseconds, and its clock shows the time they stand for."""
    begin = time.perf_counter()
    async with create_test_harness(SERVICES, skip_time=True) as env:
        assert await env.client.call(remind, 90) == 90
    assert time.perf_counter() - begin < 2


async def test_time_stands_still_while_nobody_waits():
    """A timer does not overtake what the test does next; `advance` lets time pass, timer by timer."""
    async with create_test_harness(SERVICES, skip_time=True) as env:
        waiting = await env.client.workflow_send(fulfil, "w-1", None)
        await env.settle()
        await env.advance(timedelta(days=6))
        await env.client.call(approve, "Grace", key="w-1")
        assert await env.client.workflow_attach(fulfil, "w-1") == "Grace"

        sent = await env.client.send(remind, 3)
        await env.advance(timedelta(days=2, hours=23))
        assert not (await env.client.output(sent.invocation_id)).is_ready
        await env.advance(timedelta(hours=1))
        assert (await env.client.output(sent.invocation_id)).value == 3
        assert waiting.invocation_id != sent.invocation_id


async def test_the_clock_is_the_real_one_by_default():
    """Without time skipping there is nothing to advance, and the error says what to do."""
    async with create_test_harness(SERVICES) as env:
        with pytest.raises(UsageError, match="skip_time=True"):
            await env.advance(timedelta(days=1))


async def test_urls_are_there_when_asked_for():
    """The ingress and the admin API listen on loopback from the moment their URL is read."""
    async with create_test_harness(SERVICES) as env:
        assert env.ingress_url != env.admin_api_url
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.post(f"{env.ingress_url}/Orders/greet", json="Ada")
            assert response.json() == "Hello Ada"
            assert (await http.get(f"{env.admin_api_url}/health")).status_code == 200
        with pytest.raises(AttributeError):
            _ = env.unknown


async def test_steps_can_be_stubbed():
    """A stub gives a value, raises, or computes from the step's arguments; it stands in from its next execution on."""
    async with create_test_harness(SERVICES, skip_time=True, disable_retries=True) as env:
        env.stub_step("greeting", returns="Hi")
        assert await env.client.call(greet, "Ada") == "Hi Ada"
        env.stub_step("greeting", calls=lambda: "Hey")
        assert await env.client.call(greet, "Ada") == "Hey Ada"
        env.stub_step("greeting", raises=durably.TerminalError("no greetings today", 503))
        with pytest.raises(durably.HttpError, match="no greetings today"):
            await env.client.call(greet, "Ada")
        env.stub_step("greeting", raises=ValueError("out of order"))
        with pytest.raises(durably.HttpError, match="out of order"):
            await env.client.call(greet, "Ada")


async def test_state_can_be_seeded():
    """State that the test sets is what the handler reads, and the other way round."""
    async with create_test_harness(SERVICES) as env:
        apples = env.state_of("Stock", "apples")
        assert await apples.get("left") is None
        await apples.set("left", 40)
        assert await env.client.call(add, 2, key="apples") == 42
        assert await apples.get("left", type_hint=int) == 42
        await apples.replace({})
        assert await apples.all() == {}
        with pytest.raises(UsageError, match="cannot be set"):
            await env.state_of(orders, "x").set("a", 1)


def test_blocking_tests():
    """A test that does not await has the same: a client, state, stubs, time, and an HTTP client for the ingress."""
    with blocking_test_harness(SERVICES, skip_time=True) as harness:
        harness.stub_step("greeting", returns="Hi")
        assert harness.client.call(greet, "Ada") == "Hi Ada"
        harness.state_of(stock, "pears").replace({"left": 1})
        harness.state_of(stock, "pears").set("left", 2)
        assert harness.client.call(add, 5, key="pears") == 7
        assert harness.state_of(stock, "pears").get("left") == 7
        assert harness.state_of(stock, "pears").all() == {"left": 7}
        sent = harness.client.send(remind, 2)
        harness.settle()
        harness.advance(timedelta(days=2))
        assert harness.client.output(sent.invocation_id).value == 2
        assert harness.journal_of(sent.invocation_id).target == "Orders/remind"
        with harness.ingress_client() as http:
            assert http.post("/Orders/greet", json="Bo").json() == "Hi Bo"
        assert harness.admin_api_url.startswith("http://127.0.0.1:")
        assert harness.engine.is_driving
    with pytest.raises(UsageError, match="does not run"):
        harness.settle()
    with pytest.raises(UsageError, match="does not run"):
        _ = harness.ingress_url
    harness.stop()


def test_a_blocking_harness_that_cannot_start_leaves_nothing():
    """What `start` raises arrives, and the harness can be stopped as if it had never been started."""
    harness = blocking_test_harness(broken)
    with pytest.raises(ConfigurationError):
        harness.start()
    harness.stop()


async def test_a_handler_that_does_not_follow_its_journal_fails_the_test():
    """A mismatch ends the invocation at once, and the test even if nobody looks at the result; the line is named."""
    service = durably.Service("Drifting")
    runs: list[int] = []

    @service.handler()
    async def drift(ctx: durably.Context) -> None:
        runs.append(1)
        await ctx.run_typed(f"step {len(runs)}", lambda: None)

    async def test() -> None:
        async with create_test_harness([service], always_replay=True, skip_time=True) as env:
            await env.client.send(drift)
            await env.settle()

    with pytest.raises(HandlerFaultError, match=r"run 'step 1'[\s\S]*test_harness\.py:\d+ in"):
        await test()


async def test_a_failing_test_says_what_else_was_found():
    """An error of the test stays what it is; findings and the seed of the shuffle stand in its notes."""

    async def test() -> None:
        async with create_test_harness(SERVICES, shuffle=17) as env:
            await env.client.call(greet, "Ada")
            raise KeyError("of the test")

    with pytest.raises(KeyError) as caught:
        await test()
    assert "shuffle=17" in caught.value.__notes__[-1]


async def test_what_a_real_server_does_not_have():
    """Options that only the embedded engine has are refused on a real server, by name."""
    with pytest.raises(UsageError, match="skip_time"):
        async with create_test_harness(SERVICES, server=True, skip_time=True):
            pass


async def test_the_environment_chooses_the_server(monkeypatch: pytest.MonkeyPatch):
    """Where a test does not say which runtime it wants, a variable does."""
    monkeypatch.setenv("DURABLY_TEST_SERVER", "1")
    with pytest.raises(UsageError, match="shuffle"):
        async with create_test_harness(SERVICES, shuffle=1):
            pass
    async with create_test_harness(SERVICES, server=False) as env:
        assert await env.client.call(greet, "Ada") == "Hello Ada"


async def test_the_fastapi_adapter_can_be_tested():
    """The adapter's object is given as it is: its services run in the harness, without the application's own engine."""
    from fastapi import FastAPI

    from durably_fastapi import Durably

    adapter = Durably(FastAPI(), url="memory://")
    adapter.bind(*SERVICES)
    async with create_test_harness(adapter) as env:
        assert await env.client.call(greet, "Ada") == "Hello Ada"
