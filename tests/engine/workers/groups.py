"""Real web servers with several worker processes, and what a client and an operator can do to them.

Owns the commands, the start, the kills and the end of a group.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import psutil

from durably.testing.ports import free_port
from tests.engine.workers.services import read_lease

__all__ = ["COMMANDS", "WORKERS", "Group"]

ROOT: Final = Path(__file__).parents[3]
WORKERS: Final = 4
GRACE_S: Final = 1
START_S: Final = 60.0
PATIENCE_S: Final = 30.0

_GUNICORN: Final = (
    *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", str(WORKERS)),
    *("--graceful-timeout", str(GRACE_S), "--no-control-socket"),
)
_THREADS: Final = ("-k", "gthread", "--threads", "8")
_WSGI: Final = "tests.engine.workers.wsgi"
_ASGI: Final = "tests.engine.workers.asgi:app"
_HOOKS: Final = "python:tests.engine.workers.gunicorn_hooks"
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "gunicorn-sync": (*_GUNICORN, "-k", "sync", f"{_WSGI}:create_app()"),
    "gunicorn-gthread": (*_GUNICORN, *_THREADS, f"{_WSGI}:create_app()"),
    "gunicorn-preload": (*_GUNICORN, *_THREADS, "--preload", "-c", _HOOKS, f"{_WSGI}:preloaded"),
    "gunicorn-asgi-preload": (*_GUNICORN, "-k", "asgi", "--preload", _ASGI),
    "uvicorn": (
        *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--workers", str(WORKERS)),
        *("--timeout-graceful-shutdown", str(GRACE_S), "--no-access-log", _ASGI),
    ),
    "granian": (
        *("-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers", str(WORKERS), "--workers-kill-timeout", str(GRACE_S), "--no-ws"),
        *("--respawn-failed-workers", "--respawn-interval", "0.2", _ASGI),
    ),
}


class Group:
    """A server with its workers.

    Attributes:
        name: As in `COMMANDS`.
        port: Where it listens on 127.0.0.1.
        is_over: Whether clients give up at their next failure.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Start it and wait until all workers have started."""
        self.name = name
        self.is_over = False
        self.port = free_port()
        self._folder = folder
        self._log = (folder / "server.txt").open("ab")
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, *(part.format(port=self.port) for part in COMMANDS[name])],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "DURABLY_TEST_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self.wait_for_workers(WORKERS)
        except BaseException:
            self.kill()
            raise

    @property
    def output(self) -> str:
        """What the server has written so far."""
        return (self._folder / "server.txt").read_text(errors="replace")

    # ---- as a client

    def send(self, handler: str, key: str) -> tuple[int, str]:
        """Have an invocation accepted, however often that takes; give who accepted it, and its id."""
        return self._until_answered(f"/{handler}/{key}/send")

    def call(self, handler: str, key: str) -> tuple[int, Any]:
        """Call, however often that takes; give who answered, and the result."""
        return self._until_answered(f"/{handler}/{key}")

    def _until_answered(self, path: str) -> tuple[int, Any]:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method="POST")
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                    answer = json.load(response)
            except (OSError, HTTPException, ValueError) as error:
                if self.is_over or time.monotonic() > deadline_s:
                    raise AssertionError(f"{path} is not answered: {error!r}\n{self.output}") from error
                time.sleep(0.02)
            else:
                return answer["pid"], answer["value"]

    # ---- as an operator

    def workers(self) -> set[int]:
        """Give the processes that live and whose engine was started."""
        told = self._folder / "workers"
        started = {int(line) for line in told.read_text().split()} if told.exists() else set[int]()
        return started & {process.pid for process in self._family()}

    def wait_for_workers(self, count: int) -> set[int]:
        """Wait until that many have started; give them."""
        deadline_s = time.monotonic() + START_S
        while len(found := self.workers()) < count:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"{len(found)} of {count} workers have started.\n{self.output}")
            time.sleep(0.02)
        return found

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"it did not happen in time\n{self.output}"
            time.sleep(0.02)

    def driver(self) -> int:
        """Give the process that holds the lease."""
        return int(read_lease(self._folder)[1].rpartition(":")[2])

    def wait_for_term(self, after: int, timeout_s: float = 15) -> float:
        """Wait until a later lease than that of the term `after` is written; give how long that took."""
        began_s = time.monotonic()
        while read_lease(self._folder)[0] <= after:
            assert time.monotonic() < began_s + timeout_s, f"nobody took over\n{self.output}"
            time.sleep(0.01)
        return time.monotonic() - began_s

    def signal(self, number: int) -> None:
        """Send a signal to the server's main process."""
        self._process.send_signal(number)

    def terminate(self, timeout_s: float) -> float:
        """Send SIGTERM and wait; give the seconds until all of it was gone."""
        family = self._family()
        began_s = time.monotonic()
        self.signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=timeout_s)
        took_s = time.monotonic() - began_s
        self.kill()
        assert not alive, f"{self.name} did not stop: {alive}\n{self.output}"
        return took_s

    def kill(self) -> None:
        """End all of it at once."""
        family = self._family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(10)
        psutil.wait_procs(family, timeout=10)
        if not self._log.closed:
            self._log.close()

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self._process.pid)
            # The main process first: it cannot replace the workers then.
            return [main, *main.children(recursive=True)]
        return []
