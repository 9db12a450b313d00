"""Starts real web servers as subprocesses on free ports, and stops them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from durably.testing.ports import free_port

HERE: Final = Path(__file__).parent
BOUND_S: Final = 1  # how long each server is told to wait for open streams when it stops

COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "hypercorn": ("-m", "hypercorn", "application:app", "-b", "127.0.0.1:{port}", "-c", "{config}"),
    "granian": (
        *("-m", "granian", "application:app", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
        *("--http", "auto", "--workers-kill-timeout", str(BOUND_S), "--no-ws"),
    ),
    "uvicorn": (
        *("-m", "uvicorn", "application:app", "--host", "127.0.0.1", "--port", "{port}"),
        *("--timeout-graceful-shutdown", str(BOUND_S), "--no-access-log"),
    ),
    "gunicorn-asgi": (
        *("-m", "gunicorn", "application:app", "-b", "127.0.0.1:{port}", "-k", "asgi"),
        *("--graceful-timeout", str(BOUND_S)),
    ),
    "gunicorn-sync": (
        *("-m", "gunicorn", "application:wsgi", "-b", "127.0.0.1:{port}", "-k", "sync"),
        *("--graceful-timeout", str(BOUND_S)),
    ),
    "gunicorn-gthread": (
        *("-m", "gunicorn", "application:wsgi", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "8"),
        *("--graceful-timeout", str(BOUND_S)),
    ),
    "waitress": ("-m", "waitress", "--host=127.0.0.1", "--port={port}", "application:wsgi"),
}
HYPERCORN_CONFIG: Final = f"""\
keep_alive_max_requests = 2147483647
graceful_timeout = {BOUND_S}
keep_alive_timeout = 1
"""


class Server:
    """A running web server.

    Attributes:
        name: As in `COMMANDS`.
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, name: str, folder: Path, **environment: str) -> None:
        """Start it and wait until it answers; its stderr goes to a file in `folder`."""
        self.name = name
        self.port = free_port()
        config = folder / "hypercorn.toml"
        config.write_text(HYPERCORN_CONFIG)
        self._errors = folder / "stderr.txt"
        self._log = self._errors.open("wb")
        arguments = [part.format(port=self.port, config=config) for part in COMMANDS[name]]
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=HERE,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(HERE)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    @property
    def errors(self) -> str:
        """What the server has written so far."""
        return self._errors.read_text(errors="replace")

    def facts(self) -> dict[str, Any]:
        """Ask the process what it holds."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/process", timeout=5) as answer:
            return json.load(answer)

    def settled_facts(self, baseline: Mapping[str, Any], *names: str, timeout_s: float = 5) -> dict[str, Any]:
        """Ask until each named count is at most that of `baseline`; gives the last answer either way."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            facts = self.facts()
            if all(_size(facts[name]) <= _size(baseline[name]) for name in names) or time.monotonic() > deadline_s:
                return facts
            time.sleep(0.05)

    def wait_for_attempts(self, count: int, timeout_s: float = 5) -> None:
        """Wait until that many attempts are open.

        Raises:
            TimeoutError: There were not in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while (found := self.facts()["open_attempts"]) != count:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{found} attempts are open, not {count}")
            time.sleep(0.01)

    def worker(self) -> psutil.Process:
        """Give the process that runs the application."""
        return psutil.Process(self.facts()["pid"])

    def terminate(self, timeout_s: float) -> float:
        """Send SIGTERM and wait; gives the seconds until the server was gone.

        Raises:
            subprocess.TimeoutExpired: It was not gone in time. It is killed then.
        """
        started_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return time.monotonic() - started_s

    def kill(self) -> None:
        """End it at once, with the workers that it started."""
        try:
            family = [*psutil.Process(self._process.pid).children(recursive=True), self._process]
        except psutil.NoSuchProcess:
            family = [self._process]
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait(10)
        self._log.close()

    def _wait_until_it_answers(self) -> None:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                self.facts()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError(f"{self.name} did not start: {self.errors}") from error
                time.sleep(0.05)
            else:
                return


def _size(value: Any) -> float:
    return len(value) if isinstance(value, list) else value
