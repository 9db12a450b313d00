"""The runtimes that commands talk to, and commands as they are typed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from durably import Engine
from durably.cli.app import main
from durably.engine.serving import HttpServer, bind
from durably.testing.served import AppServer
from durably.testing.server import RestateServer
from tests.cli.shop import app, carts, orders
from tests.conformance.suite.binary import require_server


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which is JSON and nothing else."""
        return json.loads(self.out)


Run = Callable[..., Outcome]


@dataclass(frozen=True)
class Place:
    """A runtime with the services of `shop`.

    Attributes:
        name: `server`, `engine` or `file`.
        options: That lead to it.
    """

    name: str
    options: tuple[str, ...]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process."""
    for name in ("DURABLY_URL", "DURABLY_ADMIN_URL", "DURABLY_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def on(run: Run, place: Place) -> Run:
    """Run a command on the runtime of the test."""
    return lambda *arguments: run(*arguments, *place.options)


@contextmanager
def running_engine(path: Path) -> Generator[tuple[str, str]]:
    """Run an engine on a file, with both APIs on ports; gives their URLs."""
    ready: list[str] = []
    leave: list[Callable[[], object]] = []
    started = threading.Event()

    async def live() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        leave.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with Engine(f"sqlite:////{str(path).lstrip('/')}", [orders, carts]) as engine:
            servers = [HttpServer(each, bind("127.0.0.1", 0)) for each in (engine.ingress_app, engine.admin_app)]
            for server in servers:
                await server.start()
                ready.append(f"http://127.0.0.1:{server.port}")
            started.set()
            await stop.wait()
            for server in servers:
                await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        assert started.wait(20)
        yield ready[0], ready[1]
    finally:
        leave[0]()
        thread.join()


@pytest.fixture(scope="module")
def engine_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """One engine: with open ports, and as its file."""
    path = tmp_path_factory.mktemp("engine") / "shop.db"
    with running_engine(path) as (ingress, admin):
        yield Place("engine", ("--url", ingress, "--admin-url", admin)), Place("file", ("--db", str(path)))


@pytest.fixture(scope="module")
def server_place() -> Iterator[Place]:
    """A real server."""
    binary = require_server()
    serving = AppServer(app)
    serving.start()
    try:
        with RestateServer(binary=binary) as server:
            server.register(serving.url)
            yield Place("server", ("--url", server.ingress_url, "--admin-url", server.admin_url))
    finally:
        serving.stop()


@pytest.fixture(params=["server", "engine", "file"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each runtime in turn: a real server, an engine with open ports, and an engine's file."""
    if request.param == "server":
        return request.getfixturevalue("server_place")
    over_http, file = request.getfixturevalue("engine_place")
    return over_http if request.param == "engine" else file


def eventually(ask: Callable[[], Any]) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + 40
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return answer
