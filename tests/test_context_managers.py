"""`contextvar`: what a context manager yields, reachable below the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from durably.extensions import contextvar


@contextvar
@asynccontextmanager
async def number(value: int | None = 1) -> AsyncIterator[int | None]:
    """Yield a number."""
    yield value


def test_the_value_is_there_while_entered() -> None:
    """Inside the block `.value` is what was yielded, None included; blocks nest; outside it is an error."""

    async def use() -> list[int | None]:
        seen: list[int | None] = []
        async with number(2) as yielded:
            assert yielded is None
            seen.append(number.value)
            async with number(None):
                seen.append(number.value)
            seen.append(number.value)
        return seen

    assert asyncio.run(use()) == [2, None, 2]
    with pytest.raises(LookupError, match="number has no value here"):
        _ = number.value


def test_each_task_has_its_own() -> None:
    """Two attempts at the same time do not see each other's values."""

    async def attempt(value: int) -> int | None:
        async with number(value):
            await asyncio.sleep(0)
            return number.value

    async def both() -> tuple[int | None, int | None]:
        return await asyncio.gather(attempt(1), attempt(2))

    assert tuple(asyncio.run(both())) == (1, 2)
