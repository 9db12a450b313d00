"""The response side of an exchange: order, waiting, ends and failures."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

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


async def test_parts_are_handed_over_as_they_arrive():
    """A reader's function gets what was there and what comes, from whoever brings it, until it has had enough."""
    inbound, taken = response()
    inbound.feed(b"one")
    got: list[bytes] = []

    def take(data: bytes) -> bool:
        got.append(data)
        return data != b"enough"

    reading = asyncio.create_task(inbound.hand_over(take))
    await asyncio.sleep(0)
    assert got == [b"one"]
    for data in (b"two", b"enough", b"later"):
        inbound.feed(data)
    assert got == [b"one", b"two", b"enough"]  # before the reader ran again
    assert await reading is True
    assert (taken, inbound.buffered_bytes) == ([3, 3, 6], 5)
    inbound.end()
    assert await inbound.hand_over(take) is False
    assert got[3:] == [b"later"]


async def test_a_failure_ends_the_handing_over():
    """It is raised after what arrived before it."""
    inbound, _ = response()
    got: list[bytes] = []
    reading = asyncio.create_task(inbound.hand_over(lambda data: got.append(data) is None))
    await asyncio.sleep(0)
    inbound.feed(b"one")
    inbound.fail(TransportError("lost"))
    with pytest.raises(TransportError, match="lost"):
        await reading
    assert got == [b"one"]


async def test_what_a_reader_raises_does_not_reach_the_producer():
    """An error of the function is raised where it was left, and what comes after is kept."""
    inbound, _ = response()

    def take(data: bytes) -> bool:
        raise ValueError(data)

    reading = asyncio.create_task(inbound.hand_over(take))
    await asyncio.sleep(0)
    inbound.feed(b"bad")
    inbound.feed(b"more")
    with pytest.raises(ValueError, match="bad"):
        await reading
    assert await inbound.receive() == b"more"


async def test_a_reader_that_gave_up_is_handed_nothing_more():
    """After a cancellation what arrives is kept for the next reader, who may use either way."""
    inbound, _ = response()
    got: list[bytes] = []
    reading = asyncio.create_task(inbound.hand_over(lambda data: got.append(data) is None))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    inbound.feed(b"kept")
    assert (got, await inbound.receive()) == ([], b"kept")


async def test_a_function_sees_the_variables_of_its_reader():
    """Whoever brings a part may be in the middle of a handler, whose variables are not the reader's."""
    variable = ContextVar("variable", default="producer")
    inbound, _ = response()
    seen: list[str] = []

    async def read() -> None:
        variable.set("reader")
        await inbound.hand_over(lambda data: seen.append(variable.get()) is not None)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    inbound.feed(b"x")
    await reading
    assert (seen, variable.get()) == (["reader"], "producer")


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
