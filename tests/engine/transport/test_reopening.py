"""Servers that close connections of old age: the engine does not count it as a failure of the service."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from durably import Engine, EngineOptions
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.records import OnMaxAttempts, RetryPolicy
from durably.engine.transport.options import HttpOptions
from tests.acceptance.application import endpoint_app
from tests.acceptance.servers import Server
from tests.engine.transport.peers import hypercorn_server

FIRST_FAILURE_IS_THE_END = EngineOptions(retry_policy=RetryPolicy(max_attempts=1, on_max_attempts=OnMaxAttempts.KILL))


async def registered(engine: Engine, uri: str, *, use_http_11: bool) -> None:
    """Register what is served at `uri`."""
    outcome = await engine.register(Registration(uri=uri, use_http_11=use_http_11))
    assert isinstance(outcome, RegisteredDeployment), outcome


@pytest.mark.parametrize("use_http_11", [False, True], ids=["h2c", "HTTP/1.1"])
async def test_a_server_that_ends_connections_fails_no_attempt(use_http_11: bool):
    """Hypercorn gives up connections, streams and all, after a few requests; each call needs one attempt."""
    async with (
        hypercorn_server(endpoint_app, keep_alive_max_requests=4) as uri,
        Engine("memory://", options=FIRST_FAILURE_IS_THE_END, http=HttpOptions()) as engine,
    ):
        await registered(engine, uri, use_http_11=use_http_11)
        client = engine.client()
        for _ in range(30):
            assert await client.generic_call("Probe", "steps", b"2") == b"1"


def test_a_server_that_changes_its_workers_fails_no_attempt(tmp_path: Path):
    """Granian is told to take new workers while calls go on; every call ends with its first attempt."""
    server = Server("granian", tmp_path)
    try:

        async def talk() -> None:
            async with Engine("memory://", options=FIRST_FAILURE_IS_THE_END) as engine:
                await registered(engine, f"http://127.0.0.1:{server.port}", use_http_11=False)
                client = engine.client()
                old = server.worker()
                main = old.parent()
                assert main is not None
                main.send_signal(signal.SIGHUP)
                calls = 0
                while server.worker() == old or calls < 50:
                    assert await client.generic_call("Probe", "steps", b"2") == b"1"
                    calls += 1

        asyncio.run(asyncio.wait_for(talk(), 20))
    finally:
        server.kill()
