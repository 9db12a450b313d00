"""When the runtime starts: in processes that serve, once for each, after a server has forked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from durably.testing.ports import free_port
from tests.flask.servers.cells import HERE, kill_process

T = TypeVar("T")

CONFIG = '''
"""Start the runtime in each worker, before there are requests."""

def post_worker_init(worker):
    from application import durably
    durably.start()
'''


class Server:
    """A web server on a port and a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.ledger = folder / "ledger"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *command: str) -> None:
        """Start it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DURABLY_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=self.port, folder=self.folder) for part in command)],
            cwd=HERE,
            env=environment
            | {
                "PYTHONPATH": str(HERE),
                "PROBE_NAME": "starting",
                "PROBE_LEDGER": str(self.ledger),
                "DURABLY_URL": f"sqlite:///{self.folder / 'durably.db'}",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def processes(self) -> list[psutil.Process]:
        """Give its processes, the first one first."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.poll() is None:
            for each in self.processes():
                kill_process(each)
            self._process.wait(10)

    def ask(self, path: str, method: str = "GET", **request: Any) -> httpx.Response | None:
        """Send a request; gives None while nobody listens."""
        try:
            return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=20, **request)
        except httpx.TransportError:
            return None

    def drivers(self) -> list[int]:
        """Give the processes that hold the store open."""
        return [each.pid for each in self.processes() if any("durably.db" in file.path for file in each.open_files())]


def eventually(find: Callable[[], T | None]) -> T:
    """Ask until there is an answer."""
    deadline_s = time.monotonic() + 30
    while not (found := find()):
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Give a server that is not started."""
    made = Server(tmp_path)
    yield made
    made.kill()


def test_the_process_that_watches_for_changes_starts_nothing(server: Server):
    """`flask run --reload` has two processes; one of them serves and has the runtime."""
    server.start("flask", "--app", "application", "run", "--port", "{port}", "--reload")
    answer = eventually(lambda: server.ask("/refunds/5", "POST"))
    assert answer.status_code == 451
    processes = server.processes()
    assert len(processes) == 2
    assert server.drivers() == [processes[1].pid]


def test_a_preloaded_application_starts_after_the_fork(server: Server):
    """The first process has the application and no runtime; each worker starts its own, without a request.

    So work goes on after a crash although nobody calls.
    """
    (server.folder / "conf.py").write_text(CONFIG)
    command = (
        *("gunicorn", "--preload", "-w", "2", "-b", "127.0.0.1:{port}", "-c", "{folder}/conf.py"),
        *("--no-control-socket", "application:app"),
    )
    server.start(*command)
    headers = {"prefer": "respond-async", "authorization": "Bearer ada"}
    taken = eventually(lambda: server.ask("/orders/o1", "POST", headers=headers, json={"pauses_ms": 500}))
    assert taken.status_code == 202
    assert server.processes()[0].pid not in server.drivers()
    eventually(lambda: server.ledger.exists() and "reserve" in server.ledger.read_text())
    server.kill()
    server.start(*command)
    eventually(lambda: "ship" in server.ledger.read_text())
