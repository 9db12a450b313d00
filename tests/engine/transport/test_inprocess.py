"""The transport without a socket: events, back-pressure, disconnects and failures."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from durably.engine.transport.contract import HIGH_WATER_BYTES, FailureKind, TransportError
from durably.engine.transport.inprocess import InProcessTransport
from durably.hosting.asgi import AsgiApp
from tests.engine.transport.driver import HEADERS, start
from tests.hosting.greeter import Greeter
from tests.hosting.wire import V6

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", V6.encode())]}
LAST = {"type": "http.response.body", "body": b"", "more_body": False}


def part(data: bytes) -> dict[str, Any]:
    """Give the event of a part of a response."""
    return {"type": "http.response.body", "body": data, "more_body": True}


async def test_the_scope_is_that_of_an_http2_request():
    """The application sees method, decoded path, headers and a peer on this machine."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(HEAD)
        await send(LAST)

    transport = InProcessTransport(app, prefix="/restate/")
    stream = await transport.open("/invoke/S/a%20b", HEADERS)
    assert await stream.receive() is None
    scope = seen[0]
    assert (scope["method"], scope["http_version"]) == ("POST", "2")
    assert (scope["path"], scope["raw_path"]) == ("/restate/invoke/S/a b", b"/restate/invoke/S/a%20b")
    assert (b"content-type", V6.encode()) in scope["headers"]
    assert scope["client"][0] == "127.0.0.1"
    assert "spec_version" in scope["asgi"]


async def test_parts_that_wait_are_joined():
    """What the application has not taken arrives as one event, the end of the request with it."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        events.append(await receive())
        await send(HEAD)
        await send(part(b"x"))
        await send(part(b"y"))
        await send(LAST)
        events.append(await receive())

    stream = await InProcessTransport(app).open("/", HEADERS)
    stream.write(b"one ")
    await stream.send(b"two")
    await stream.half_close()
    assert await stream.receive() == b"xy"
    assert await stream.receive() is None
    await asyncio.sleep(0)
    assert events == [{"type": "http.request", "body": b"one two", "more_body": False}, {"type": "http.disconnect"}]


async def test_a_slow_application_holds_back_send():
    """`send` waits while more than the high-water mark was not taken, and goes on when it was."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await receive()
        await send(HEAD)
        await send(LAST)

    stream = await InProcessTransport(app).open("/", HEADERS)
    sending = asyncio.create_task(stream.send(bytes(HIGH_WATER_BYTES + 1)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not sending.done()
    go.set()
    await sending
    assert await stream.receive() is None


async def test_a_slow_reader_holds_back_the_application():
    """The application's `send` waits while the reader is behind."""
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(HEAD)
        for _ in range(10):
            await send(part(bytes(HIGH_WATER_BYTES)))
            sent += 1
        await send(LAST)

    stream = await InProcessTransport(app).open("/", HEADERS)
    await stream.response()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sent == 1
    total = 0
    while (data := await stream.receive()) is not None:
        total += len(data)
    assert total == 10 * HIGH_WATER_BYTES


async def test_abort_disconnects_the_application():
    """`receive` tells the disconnect, `send` raises an OSError, and abort returns when the application left."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(HEAD)
        seen.append(await receive())
        try:
            await send(part(b"late"))
        except OSError as error:
            seen.append(error)

    transport = InProcessTransport(app)
    stream = await transport.open("/", HEADERS)
    await stream.response()
    assert transport.open_streams == 1
    await stream.abort()
    assert seen[0] == {"type": "http.disconnect"}
    assert isinstance(seen[1], OSError)
    assert transport.open_streams == 0
    with pytest.raises(TransportError, match="cut by the engine"):
        await stream.receive()
    await stream.abort()


async def test_abort_cancels_an_application_that_stays(monkeypatch: pytest.MonkeyPatch):
    """An application that ignores the disconnect is cancelled after the time it has for leaving."""
    monkeypatch.setattr("durably.engine.transport.inprocess._UNWIND_LIMIT_S", 0.01)
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(HEAD)
        try:
            await asyncio.sleep(3600)
        finally:
            left.set()

    stream = await InProcessTransport(app).open("/", HEADERS)
    await stream.response()
    await stream.abort()
    assert left.is_set()


@pytest.mark.parametrize("name", ["Greeter/waits", "Greeter/acts", "Plain/waits"])
async def test_an_abort_unwinds_a_handler(name: str):
    """A handler of ours that waits, async or in a thread, leaves when its attempt is cut."""
    transport = InProcessTransport(AsgiApp(Greeter().endpoint()))
    attempt = await start(transport, name)
    await attempt.stream.response()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(3):
        await attempt.stream.abort()
    assert transport.open_streams == 0


async def test_an_exception_of_the_application_is_told(caplog: pytest.LogCaptureFixture):
    """The failure has the exception's type and text, the log its traceback; what came before is read first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(HEAD)
        await send(part(b"before"))
        raise KeyError("shelf")

    stream = await InProcessTransport(app).open("/invoke/S/h", HEADERS)
    assert await stream.receive() == b"before"
    with pytest.raises(TransportError, match="KeyError: 'shelf'") as caught:
        await stream.receive()
    assert (caught.value.kind, caught.value.code) == (FailureKind.VIOLATION, 500)
    assert "/invoke/S/h" in caplog.text


async def test_an_application_that_leaves_early_fails_the_attempt():
    """A response without an end, or without a head, is a failure."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    stream = await InProcessTransport(app).open("/", HEADERS)
    with pytest.raises(TransportError, match="left before"):
        await stream.response()


async def test_a_status_fails_the_attempt_and_disconnects():
    """What an application refuses is a failure with the status; it need not read the rest."""
    transport = InProcessTransport(AsgiApp(Greeter().endpoint()))
    attempt = await start(transport, "Greeter/unknown")
    with pytest.raises(TransportError, match="status 404"):
        await attempt.stream.receive()
    assert (await attempt.stream.response()).status == 404
    await attempt.stream.abort()
    assert transport.open_streams == 0


async def test_handlers_do_not_see_the_openers_variables():
    """The context is that of the transport's maker, a copy for each exchange."""
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set("leaked")
        await send(HEAD)
        await send(LAST)

    variable.set("maker")
    transport = InProcessTransport(app)
    variable.set("opener")
    for _ in range(2):
        assert await (await transport.open("/", HEADERS)).receive() is None
    assert seen == ["maker", "maker"]


async def test_close_cuts_what_is_open():
    """After close nothing runs and nothing opens."""
    transport = InProcessTransport(AsgiApp(Greeter().endpoint()))
    attempt = await start(transport, "Greeter/waits")
    await attempt.stream.response()
    await transport.close()
    assert transport.open_streams == 0
    with pytest.raises(TransportError, match="stopped"):
        await transport.open("/", HEADERS)
