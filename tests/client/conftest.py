"""What the client tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.ingress import Ingress, running_ingress
from tests.client.runtimes import Client, Kind, Runtime, Style


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    """A server in the place of the ingress."""
    with running_ingress() as running:
        yield running


@pytest.fixture(scope="session", params=list(Kind), ids=lambda kind: kind.value)
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Each runtime, with the services."""
    running = Runtime(request.param, tmp_path_factory.mktemp(request.param.value))
    yield running
    running.close()


@pytest.fixture(params=list(Style), ids=lambda style: style.value)
def client(request: pytest.FixtureRequest, runtime: Runtime) -> Client:
    """Each client of each runtime."""
    return Client(runtime, request.param)
