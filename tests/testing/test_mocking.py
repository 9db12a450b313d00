"""Handlers without an engine: results of the test's, the real context, and a record of what was done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import durably
from durably.errors import UsageError
from durably.testing.mocking import MockInvocation
from tests.testing.shop import Receipt, add, fulfil, place, take

pytestmark = pytest.mark.anyio
service = durably.Service("Mocked")


async def test_calls_steps_and_timers():
    """A handler runs to its end on results of the test's, in milliseconds, and all it did is recorded in order."""
    mock = MockInvocation(place)
    mock.on_step("charge", returns=Receipt("r-9", 3))
    mock.on_call("Stock/take", returns=7)
    assert await mock.run(3) == "r-9: 3, 7 left"
    assert mock.did == ["call Stock['apples']/take", "run 'charge'", "sleep"]
    assert (mock.operations[0].kind, mock.operations[0].value) == ("CALL", 3)
    assert await mock.run(3) == "r-9: 3, 7 left"


async def test_failures_reach_the_handler_and_the_test():
    """A call that fails raises in the handler; what the handler raises arrives as it is."""
    mock = MockInvocation(place)
    mock.on_call("Stock/take", raises=durably.TerminalError("sold out", 409))
    with pytest.raises(durably.TerminalError, match="sold out"):
        await mock.run(3)
    mock = MockInvocation(place)
    mock.on_call("Stock/take", returns=1)
    mock.on_step("charge", raises=durably.TerminalError("declined", 402))
    with pytest.raises(durably.TerminalError, match="declined"):
        await mock.run(3)


async def test_state():
    """State before is what the handler reads; `state` is what it leaves."""
    mock = MockInvocation(take, key="pears", state={"left": 5})
    assert await mock.run(2) == 3
    assert mock.state == {"left": 3}
    assert mock.did == ["get state 'left'", "set state 'left'"]
    assert mock.operations[1].value == 3


def test_blocking_handlers():
    """A `def` handler runs on the test's own thread."""
    mock = MockInvocation(add, state={"left": 1})
    assert mock.run_blocking(4) == 5
    assert mock.state == {"left": 5}


async def test_promises_and_their_timeouts():
    """A promise with a value wins against a timer; one without loses."""
    mock = MockInvocation(fulfil)
    mock.on_promise("approval", returns="Grace")
    assert await mock.run() == "Grace"
    with pytest.raises(durably.TerminalError, match="timed out"):
        await MockInvocation(fulfil).run()


async def test_awakeables_signals_and_outputs():
    """Whatever arrives from outside can be given: awakeables in their order, signals by name, outputs by id."""

    @service.handler()
    async def waits(ctx: durably.Context) -> list[Any]:
        awakeable_id, first = ctx.awakeable(type_hint=str)
        ctx.resolve_awakeable(awakeable_id, "unused")
        _, second = ctx.awakeable(type_hint=str)
        child = ctx.service_send(place, 1, send_delay=timedelta(days=1))
        assert (await child.invocation_id()).startswith("inv_1")
        return [await first, await second, await ctx.attach_invocation("inv_1x", type_hint=int)]

    mock = MockInvocation(waits)
    mock.on_awakeable(returns="one")
    mock.on_awakeable(returns="two")
    mock.on_output("inv_1x", returns=3)
    assert await mock.run() == ["one", "two", 3]


async def test_what_has_no_result():
    """A handler that waits for what the test did not think of fails, and the error names the operation."""
    with pytest.raises(UsageError, match=r"waits for what[\s\S]*charge|waits for what[\s\S]*take"):
        await MockInvocation(place).run(3)
    with pytest.raises(UsageError, match="run_blocking"):
        await MockInvocation(add).run(1)
    with pytest.raises(UsageError, match="Await run"):
        MockInvocation(take).run_blocking(1)
