"""One exchange with either client, so that each test runs with both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably.client import blocking

Use = Callable[[Any], Any]


def awaited(url: str, use: Use, **options: Any) -> Any:
    async def main() -> Any:
        async with durably.create_client(url, **options) as client:
            return await use(client)

    return asyncio.run(main())


def blocked(url: str, use: Use, **options: Any) -> Any:
    with blocking.create_client(url, **options) as client:
        return use(client)


Exchange = Callable[..., Any]


both = pytest.mark.parametrize("exchange", [awaited, blocked], ids=["async", "blocking"])
