"""The places where the rules of calls must hold: each test runs in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from durably.testing.server import RestateServer
from durably.web.calls import Done
from tests.conformance.suite.binary import require_server
from tests.web.shop import gates, place, runs
from tests.web.sites import Site, site_of

KINDS = [
    pytest.param((kind, flavour), id=f"{kind}-{flavour}")
    for kind in ("embedded", "server")
    for flavour in ("awaiting", "blocking")
]


@pytest.fixture(scope="session")
def restate() -> Iterator[Callable[[], RestateServer]]:
    """Give a real server, which is started when the first asks for it."""
    running: list[RestateServer] = []

    def get() -> RestateServer:
        if not running:
            running.append(RestateServer(binary=require_server()))
            running[0].start()
        return running[0]

    yield get
    for server in running:
        server.stop()


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, restate: Callable[[], RestateServer]) -> Iterator[Site]:
    """Give a running link, whose services can be called."""
    kind, flavour = request.param
    with site_of(kind, flavour, restate) as running:
        wait_until_callable(running)
        yield running


@pytest.fixture(autouse=True)
def closed_gates() -> Iterator[None]:
    """Let each test begin with closed gates, and leave nobody waiting behind."""
    gates.clear()
    runs.clear()
    yield
    for gate in gates.values():
        gate.set()


def wait_until_callable(running: Site) -> None:
    """Wait for the registration."""
    from durably.authoring.handlers import handler_of

    for _ in range(400):
        if isinstance(running.call(handler_of(place), b"{}"), Done):
            return
    pytest.fail("The services were not registered.")
