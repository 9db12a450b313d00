"""The servers that the tests of this folder ask the same questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.suite.binary import require_server
from tests.conformance.suite.columns import Server
from tests.engine.operating.sites import Site


@pytest.fixture(scope="session", params=list(Server), ids=lambda server: server.value)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with version `v1` of the services: the engine, then the real one."""
    if request.param is Server.RESTATE:
        require_server()
    site = Site(request.param, tmp_path_factory.mktemp(request.param.value))
    site.register("v1")
    yield site
    site.close()


@pytest.fixture
def own_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An engine of one's own with version `v1` of the services."""
    site = Site(Server.ENGINE, tmp_path_factory.mktemp("own"))
    site.register("v1")
    yield site
    site.close()


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """The engine and the real server side by side."""
    require_server()
    with ExitStack() as stack:
        sites: list[Site] = []
        for kind in (Server.ENGINE, Server.RESTATE):
            site = Site(kind, tmp_path_factory.mktemp(kind.value))
            stack.callback(site.close, kill=True)
            site.register("v1")
            sites.append(site)
        yield sites[0], sites[1]
