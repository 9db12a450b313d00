"""The response side of an exchange: order, waiting, ends and failures."""

from __future__ import annotations

import asyncio

import pytest

from durably.engine.transport.contract import ResponseHead, TransportError
from durably.engine.transport.exchange import Response

GOOD = ResponseHead(200, (("content-type", "a/b"),))


def response() -> tuple[Response, list[int]]:
    """Make one, and the list of what its reader took."""
    taken: list[int] = []
    return Response("a/b", taken.append), taken


async def test_parts_are_joined_and_counted():
    """One read takes all that is there, and the producer learns how much."""
    inbound, taken = response()
    inbound.start(GOOD)
    for data in (b"one", b"", b"two"):
        inbound.feed(data)
    assert inbound.buffered_bytes == 6
    assert await inbound.receive() == b"onetwo"
    inbound.end()
    assert await inbound.receive() is None
    assert (taken, inbound.buffered_bytes) == ([6], 0)


async def test_a_reader_waits_for_a_part():
    """A waiting reader is woken by a part, by the end, and by a failure."""
    for act, expected in ((lambda inbound: inbound.feed(b"x"), b"x"), (lambda inbound: inbound.end(), None)):
        inbound, _ = response()
        reading = asyncio.create_task(inbound.receive())
        await asyncio.sleep(0)
        act(inbound)
        assert await reading == expected


async def test_a_cancelled_reader_loses_nothing():
    """A reader that gave up can come back for what arrived."""
    inbound, _ = response()
    reading = asyncio.create_task(inbound.receive())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    inbound.feed(b"kept")
    assert await inbound.receive() == b"kept"


async def test_the_head_can_be_awaited_beside_the_body():
    """Head and body have their own waiters."""
    inbound, _ = response()
    head, body = asyncio.create_task(inbound.head()), asyncio.create_task(inbound.receive())
    await asyncio.sleep(0)
    inbound.start(GOOD)
    inbound.feed(b"x")
    assert await head == GOOD
    assert await body == b"x"
    assert inbound.has_head


async def test_a_failure_comes_after_what_arrived_and_stays():
    """What arrived is read, then the failure is raised each time; a later end changes nothing."""
    inbound, _ = response()
    inbound.start(GOOD)
    inbound.feed(b"x")
    inbound.fail(TransportError("first"))
    inbound.fail(TransportError("second"))
    inbound.feed(b"late")
    assert await inbound.receive() == b"x"
    for _ in range(2):
        with pytest.raises(TransportError, match="first"):
            await inbound.receive()


async def test_a_bad_head_is_a_failure_with_a_head():
    """The head can be looked at; nothing of the body is read."""
    inbound, _ = response()
    inbound.start(ResponseHead(404, ()))
    inbound.feed(b"not found")
    assert (await inbound.head()).status == 404
    with pytest.raises(TransportError, match="404"):
        await inbound.receive()


async def test_without_a_head_its_waiters_fail():
    """An exchange that fails or ends before its head tells so."""
    for end in (True, False):
        inbound, _ = response()
        waiting = asyncio.create_task(inbound.head())
        await asyncio.sleep(0)
        if end:
            inbound.end()
        else:
            inbound.fail(TransportError("gone"))
        with pytest.raises(TransportError):
            await waiting
