"""What `durably.endpoint` is typed to give, at run time."""

from __future__ import annotations

import inspect

import pytest
from fastapi import FastAPI

import durably
from durably import Context
from durably_fastapi import Durably

pytestmark = pytest.mark.anyio


async def test_an_endpoint_is_called_with_its_values_by_name():
    """As its type says: a handler calls it with a mapping, its name is the function's, and defaults count."""
    runtime = Durably(FastAPI(), url="memory://")
    callers = durably.Service("Callers")

    @runtime.endpoint
    async def price(item: str, count: int = 2) -> int:
        return len(item) * count

    @callers.handler()
    async def ask(ctx: Context, item: str) -> int:
        return await ctx.service_call(price, arg={"item": item}) + await ctx.call(price, {"item": item, "count": 1})

    runtime.bind(callers)
    async with durably.create_test_harness(runtime) as env:
        assert await env.client.call(ask, "mug") == 9
        assert await env.client.call(price, {"item": "mug"}) == 6
    assert price.__name__ == "price"
    assert inspect.iscoroutinefunction(price)
