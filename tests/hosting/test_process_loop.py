"""The one event loop that async handlers on WSGI workers share."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from durably.errors import RemoteProtocolError
from durably.hosting.process_loop import process_loop, run_on_process_loop
from durably.hosting.routes import Invocation
from durably.machine import Machine
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.hosting import wire
from tests.hosting.greeter import Greeter


def run(greeter: Greeter, handler: str, chunks: Iterator[bytes]) -> bytes:
    """Run one attempt of an async handler from this thread."""
    endpoint = greeter.endpoint()
    found = endpoint.find("Greeter", handler)
    assert found is not None
    invocation = Invocation(found, ProtocolVersion.V6, {}, "/", None)
    return run_on_process_loop(invocation, endpoint, Machine(ProtocolVersion.V6), chunks)


def test_an_attempt_runs_and_its_whole_answer_comes_back():
    """The caller's thread waits; the request may come in any pieces."""
    body = run(Greeter(), "greet", (bytes([byte]) for byte in wire.fresh(b'"Ada"')))
    assert wire.read(body)[0].message.value.content == b'"Hello Ada"'


def test_all_attempts_share_one_loop_in_one_daemon_thread():
    """What a handler ties to its loop, such as a connection pool, works in the next attempt too."""
    loops: set[asyncio.AbstractEventLoop] = set()
    greeter = Greeter(hook=lambda: loops.add(asyncio.get_running_loop()))
    for _ in range(3):
        run(greeter, "hooked", iter([wire.fresh()]))
    assert loops == {process_loop()}
    threads = [thread for thread in threading.enumerate() if thread.name == "durably-loop"]
    assert len(threads) == 1
    assert threads[0].daemon


def test_a_body_that_cannot_be_read_aborts_the_attempt():
    """The handler that waits for the rest of its journal, or already runs, is unwound."""
    greeter = Greeter()

    def broken() -> Iterator[bytes]:
        yield wire.fresh()
        greeter.entered.acquire(timeout=5)
        raise RemoteProtocolError("malformed", code=400)

    with pytest.raises(RemoteProtocolError):
        run(greeter, "acts", broken())

    async def settled() -> None:
        async with asyncio.timeout(5):
            while greeter.notes != ["unwound"]:  # noqa: ASYNC110 - the handler sets no event
                await asyncio.sleep(0.001)

    asyncio.run_coroutine_threadsafe(settled(), process_loop()).result(5)


def test_what_an_attempt_does_not_want_is_left_unread():
    """A frame that is refused at its header ends the reading; the caller decides about the rest."""
    pieces = iter([b"\xff" * 8, *([b"\xff" * 8] * 100_000)])
    body = run(Greeter(), "greet", pieces)
    assert wire.kinds(body) == [MessageType.ERROR]
    assert next(pieces, None) is not None


def test_a_forked_child_has_its_own_loop():
    """A worker that was forked after a first request does not wait for its parent's loop."""
    process_loop()
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent
        future = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 7), process_loop())
        os._exit(future.result(5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
