"""The names for a tunnel to Restate Cloud: refused, with a way out."""

from __future__ import annotations

import asyncio as stdlib_asyncio

import pytest


def test_the_tunnel_is_refused_with_a_way_out() -> None:
    """`connect` and `with_connection` exist, and say what to do instead."""
    import durably

    with pytest.raises(durably.ConnectError, match="register its URL"):
        stdlib_asyncio.run(durably.connect(None, name="x"))

    async def enter() -> None:
        async with durably.with_connection(None):
            pass

    with pytest.raises(durably.ConnectError, match="tunnel"):
        stdlib_asyncio.run(enter())
