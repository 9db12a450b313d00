"""What an application does with `receive`: never a hot loop, never a lost end, whatever the server's events look like.

The seven behaviours that the Python peer's regression tests ask of its receive channel, asked of the whole
application, for both kinds of handler.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durably.hosting.asgi import AsgiApp
from durably.hosting.options import HostingOptions
from durably.protocol.messages import MessageType
from tests.hosting import wire
from tests.hosting.asgi_client import Exchange, http_scope
from tests.hosting.greeter import Greeter

T = MessageType

both_drivers = pytest.mark.parametrize("service", ["Greeter", "Plain"])


def waiting(app: Any, service: str) -> Exchange:
    """Start a handler that waits for the runtime."""
    exchange = Exchange(app, http_scope(path=f"/invoke/{service}/waits"))
    exchange.feed(wire.fresh())
    return exchange


async def settle() -> None:
    """Let everything that can happen happen."""
    await asyncio.sleep(0.03)


@both_drivers
async def test_a_disconnect_behind_the_end_is_acted_on(service: str):
    """Body, end and disconnect arrive together: the application returns although nothing more will ever come."""
    greeter = Greeter()
    exchange = Exchange(AsgiApp(greeter.endpoint()), http_scope(path=f"/invoke/{service}/waits"))
    exchange.end(wire.fresh())
    exchange.events.put_nowait({"type": "http.disconnect"})
    await exchange.finished(1)
    await settle()
    was_entered = service == "Greeter" or greeter.entered.acquire(blocking=False)
    assert greeter.notes == (["unwound"] if was_entered else [])


@both_drivers
async def test_a_disconnect_is_not_asked_about_again_and_again(service: str):
    """A server that answers disconnect at once and for ever is asked a few times, not in a loop."""
    exchange = waiting(AsgiApp(Greeter().endpoint()), service)
    await settle()
    before = exchange.receive_calls
    exchange.disconnect()
    await exchange.finished(1)
    await settle()
    assert exchange.receive_calls - before <= 3


@both_drivers
async def test_empty_body_frames_cause_nothing(service: str):
    """Empty chunks are not input: nothing is written for them, and each costs one `receive`."""
    exchange = waiting(AsgiApp(Greeter().endpoint()), service)
    await settle()
    sent, calls = len(exchange.sent), exchange.receive_calls
    for _ in range(100):
        exchange.feed(b"")
    await settle()
    assert len(exchange.sent) == sent
    assert exchange.receive_calls - calls == 100
    exchange.end()
    assert wire.kinds(await exchange.finished(1)) == [T.SUSPENSION]


@both_drivers
async def test_the_normal_end_ends_the_response(service: str):
    """After the handler's last message the response waits for the end of the request, then ends at once."""
    exchange = Exchange(AsgiApp(Greeter().endpoint()), http_scope(path=f"/invoke/{service}/greet"))
    exchange.feed(wire.fresh(b'"Ada"'))
    await exchange.until(lambda: T.END in wire.kinds(exchange.body))
    await settle()
    assert not exchange.task.done()
    exchange.end()
    await exchange.finished(1)
    assert exchange.has_ended


@both_drivers
async def test_shutdown_lets_go_of_a_request_that_never_ends(service: str):
    """A runtime that never closes its side does not keep a stopping server: the wait is bounded."""
    app = AsgiApp(Greeter().endpoint(), HostingOptions(shutdown_grace=timedelta(seconds=0.02)))
    exchange = waiting(app, service)
    await settle()
    await asyncio.wait_for(app.drain_attempts(), 1)
    exchange.disconnect()
    await exchange.finished(1)


@both_drivers
async def test_shutdown_twice_is_harmless(service: str):
    """Also at the same time, and after everything has ended."""
    app = AsgiApp(Greeter().endpoint(), HostingOptions(shutdown_grace=timedelta(seconds=0.02)))
    exchange = waiting(app, service)
    await settle()
    await asyncio.wait_for(asyncio.gather(app.drain_attempts(), app.drain_attempts()), 1)
    exchange.disconnect()
    await exchange.finished(1)
    await asyncio.wait_for(app.drain_attempts(), 1)


@both_drivers
async def test_shutdown_waits_for_all_attempts_not_only_the_first(service: str):
    """Several open attempts are waited for, and the last one to end is the end of the wait."""
    app = AsgiApp(Greeter().endpoint(), HostingOptions(shutdown_grace=timedelta(seconds=5)))
    exchanges = [waiting(app, service) for _ in range(3)]
    await settle()
    drained = asyncio.create_task(app.drain_attempts())
    for exchange in exchanges:
        await settle()
        assert not drained.done()
        exchange.end()
        await exchange.finished(1)
    await asyncio.wait_for(drained, 1)


@both_drivers
async def test_a_server_that_repeats_the_end_causes_no_loop(service: str):
    """A test client may answer `receive` after the end with the same empty event for ever."""
    calls = 0
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": wire.fresh() if calls == 1 else b"", "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    app = AsgiApp(Greeter().endpoint())
    await asyncio.wait_for(app(http_scope(path=f"/invoke/{service}/waits"), receive, send), 1)
    assert calls < 5
    assert not sent[-1]["more_body"]
