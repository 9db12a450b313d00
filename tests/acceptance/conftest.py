"""Real servers for the acceptance tests; each is started once for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.servers import Server

StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start a server by name, once for each name and environment; all are killed in the end."""
    running: dict[tuple[str, ...], Server] = {}

    def start(name: str, **environment: str) -> Server:
        key = (name, *sorted(f"{variable}={value}" for variable, value in environment.items()))
        if key not in running:
            running[key] = Server(name, Path(tmp_path_factory.mktemp(name)), **environment)
        return running[key]

    yield start
    for server in running.values():
        server.kill()
