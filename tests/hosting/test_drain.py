"""Reading away the rest of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from durably.hosting.drain import drain


class Events:
    """An ASGI `receive` that gives prepared events and then blocks, as servers do."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.left = list(events)

    async def __call__(self) -> dict[str, Any]:
        if not self.left:
            await asyncio.Event().wait()
        return self.left.pop(0)


CHUNK = {"type": "http.request", "body": b"x", "more_body": True}


async def test_reads_to_the_end_and_no_further():
    """The event after the end is not asked for: servers block there."""
    receive = Events(CHUNK, CHUNK, {"type": "http.request"}, {"type": "http.disconnect"})
    assert await drain(receive, 5)
    assert receive.left == [{"type": "http.disconnect"}]


async def test_a_disconnect_means_that_nobody_wants_the_answer():
    """The caller need not send the rest."""
    assert not await drain(Events(CHUNK, {"type": "http.disconnect"}), 5)


async def test_a_request_without_end_is_given_up():
    """A peer that keeps its side open cannot hold the stream for longer than the limit."""
    assert await asyncio.wait_for(drain(Events(CHUNK), 0.01), 5)
