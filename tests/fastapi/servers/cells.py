"""The cells of the server matrix: a runtime, a web server and a number of workers, as processes.

Owns starting, killing and stopping them. The port and the store of a cell outlive its processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx
import psutil

from durably.testing.ports import free_port
from durably.testing.server import RestateServer

HERE: Final = Path(__file__).parent
BOUND_S: Final = 1  # how long each web server is told to wait for open requests when it stops

COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "uvicorn": (
        *("-m", "uvicorn", "application:app", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}"),
        *("--timeout-graceful-shutdown", str(BOUND_S), "--no-access-log"),
    ),
    "hypercorn": (
        *("-m", "hypercorn", "application:app", "-b", "127.0.0.1:{port}", "-w", "{workers}", "-c", "{config}"),
    ),
    "granian": (
        *("-m", "granian", "application:app", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
        *("--http", "auto", "--workers", "{workers}", "--workers-kill-timeout", str(BOUND_S), "--no-ws"),
    ),
}
HYPERCORN_CONFIG: Final = f"keep_alive_max_requests = 2147483647\ngraceful_timeout = {BOUND_S}\n"


@dataclass(frozen=True)
class Kind:
    """Which cell it is."""

    runtime: str
    server: str
    workers: int

    def __str__(self) -> str:
        return f"{self.runtime}-{self.server}-{self.workers}"

    @property
    def is_http2(self) -> bool:
        """Whether its server speaks HTTP/2 without TLS."""
        return self.server != "uvicorn"


KINDS: Final = tuple(
    Kind(runtime, server, workers)
    for runtime in ("embedded", "restate")
    for server in ("uvicorn", "hypercorn", "granian")
    for workers in (1, 4)
)


class Cell:
    """A web server with the application.

    Attributes:
        kind: Which one.
        url: Where it listens.
    """

    def __init__(self, kind: Kind, folder: Path, restate: RestateServer | None) -> None:
        """Choose a port; starts nothing."""
        self.kind = kind
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._ledger = folder / "ledger"
        self._ledger.touch()
        self._log_file = folder / "log"
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        config = folder / "hypercorn.toml"
        config.write_text(HYPERCORN_CONFIG)
        values = {"port": self._port, "workers": kind.workers, "config": config}
        self._command = [sys.executable, *(part.format(**values) for part in COMMANDS[kind.server])]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DURABLY_")},
            "PYTHONPATH": str(HERE),
            "PROBE_NAME": str(kind).replace("-", "_"),
            "PROBE_LEDGER": str(self._ledger),
            **self._settings(folder, restate),
        }

    def _settings(self, folder: Path, restate: RestateServer | None) -> dict[str, str]:
        if restate is None:
            return {"DURABLY_URL": f"sqlite:///{folder / 'durably.db'}"}
        return {
            "DURABLY_URL": restate.ingress_url,
            "DURABLY_ADMIN_URL": restate.admin_url,
            "DURABLY_SERVICE_URL": self.url,
            "DURABLY_SECRET_KEY": "between the workers of one application",
        }

    def start(self) -> None:
        """Start it, and wait until durable calls are answered."""
        self._log = self._log_file.open("ab")
        self._process = subprocess.Popen(
            self._command, cwd=HERE, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT
        )
        deadline_s = time.monotonic() + 60
        with self.client() as client:
            while not self._answers(client):
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    self.kill()
                    raise RuntimeError(f"{self.kind} did not start:\n{self.log()[-4000:]}")
                time.sleep(0.05)

    def _answers(self, client: httpx.Client) -> bool:
        try:
            # What a server does not know yet it refuses, which shows here as another status.
            return client.post("/refunds", params={"amount": 1}).status_code == 451
        except httpx.TransportError:
            return False

    @contextmanager
    def client(self, **options: Any) -> Iterator[httpx.Client]:
        """Give a client that speaks the best protocol of the server."""
        headers = {"authorization": "Bearer ada"}
        h2 = self.kind.is_http2
        with httpx.Client(
            base_url=self.url, headers=headers, http1=not h2, http2=h2, timeout=30, trust_env=False, **options
        ) as client:
            yield client

    @contextmanager
    def async_client(self) -> Iterator[httpx.AsyncClient]:
        """Give an asynchronous one; the caller closes it."""
        h2 = self.kind.is_http2
        yield httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": "Bearer ada"},
            http1=not h2,
            http2=h2,
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    def ledger(self, *words: str) -> list[str]:
        """Give the lines that contain all words."""
        lines = self._ledger.read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def log(self) -> str:
        """Give what the server has written."""
        return self._log_file.read_text(errors="replace")

    def kill(self) -> None:
        """End it at once, as a crash of the machine does, workers first or last as it happens."""
        process, self._process = self._process, None
        if process is None:
            return
        for each in _family(process):
            try:
                each.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        process.wait(10)
        self._close_log()

    def terminate(self, timeout_s: float) -> float:
        """Send SIGTERM; gives the seconds until the server and all its workers were gone.

        Raises:
            TimeoutError: They were not in time. They are killed then.
        """
        assert self._process is not None
        family = _family(self._process)
        started_s = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
            _, alive = psutil.wait_procs(family, max(0.0, started_s + timeout_s - time.monotonic()))
            if alive:
                raise TimeoutError(f"{len(alive)} workers of {self.kind} are left after {timeout_s} s")
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.kind} runs {timeout_s} s after SIGTERM:\n{self.log()[-3000:]}") from None
        finally:
            elapsed_s = time.monotonic() - started_s
            for each in family:
                if each.is_running():
                    each.kill()
            self._process.wait(10)
            self._process = None
            self._close_log()
        return elapsed_s

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
