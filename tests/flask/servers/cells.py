"""The cells of the server matrix: a runtime and a web server, as processes.

Owns starting, killing and stopping them. The port and the store of a cell outlive its processes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx
import psutil

from durably.testing.ports import free_port
from durably.testing.server import RestateServer

HERE: Final = Path(__file__).parent
GUNICORN: Final = (
    *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "--graceful-timeout", "1", "--no-control-socket"),
    *("--worker-tmp-dir", "{folder}"),
)
UWSGI: Final = (
    *("-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])", "--http-socket", "127.0.0.1:{port}", "--master"),
    *("--enable-threads", "--die-on-term", "--worker-reload-mercy", "1", "--socket-timeout", "60", "--listen", "128"),
    *("--add-header", "Connection: close"),  # it closes every connection, and does not say so
)

COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "sync": (*GUNICORN, "-k", "sync", "-w", "4", "application:app"),
    "gthread": (*GUNICORN, "-k", "gthread", "-w", "2", "--threads", "16", "application:app"),
    "gevent": (*GUNICORN, "-k", "gevent", "-w", "2", "application:app"),
    "uwsgi": (*UWSGI, "--processes", "4", "--module", "application:app"),
    "uwsgi_threads": (*UWSGI, "--processes", "2", "--threads", "16", "--module", "application:app"),
    "waitress": ("-m", "waitress", "--listen=127.0.0.1:{port}", "--threads=16", "application:app"),
    "flask": ("-m", "flask", "--app", "application", "run", "--port", "{port}", "--no-reload"),
    "hypercorn": (
        *("-m", "hypercorn", "application:asgi_app", "-b", "127.0.0.1:{port}", "-w", "2", "-c", "{folder}/hyper.toml"),
    ),
}
HYPERCORN_CONFIG: Final = "keep_alive_max_requests = 2147483647\ngraceful_timeout = 1\n"


@dataclass(frozen=True)
class Kind:
    """Which cell it is."""

    runtime: str
    server: str

    def __str__(self) -> str:
        return f"{self.runtime}-{self.server}"


KINDS: Final = tuple(Kind(runtime, server) for runtime in ("embedded", "restate") for server in COMMANDS)


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
        (folder / "hyper.toml").write_text(HYPERCORN_CONFIG)
        self._log_file = folder / "log"
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        values = {"port": self._port, "folder": folder}
        self._command = [sys.executable, *(part.format(**values) for part in COMMANDS[kind.server])]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DURABLY_")},
            "PYTHONPATH": str(HERE),
            "PROBE_NAME": str(kind).replace("-", "_"),
            "PROBE_LEDGER": str(self._ledger),
            "DURABLY_URL": f"sqlite:///{folder / 'durably.db'}",
        }
        if restate is not None:
            self._environment |= {
                "DURABLY_URL": restate.ingress_url,
                "DURABLY_ADMIN_URL": restate.admin_url,
                "DURABLY_SERVICE_URL": self.url,
                "DURABLY_SECRET_KEY": "between the workers of one application",
                # Waitress hides whether a proxy stands between, so nobody counts as local there.
                "DURABLY_ALLOW_UNSIGNED": str(kind.server == "waitress").lower(),
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
            return client.post("/refunds/5").status_code == 451
        except httpx.TransportError:
            return False

    def client(self) -> httpx.Client:
        """Give a client that speaks the best protocol of the server."""
        return httpx.Client(**self._client_options(), event_hooks={"request": [_without_empty_body]})

    def async_client(self) -> httpx.AsyncClient:
        """Give an asynchronous one."""

        async def hook(request: httpx.Request) -> None:
            _without_empty_body(request)

        return httpx.AsyncClient(**self._client_options(), event_hooks={"request": [hook]})

    def _client_options(self) -> dict[str, Any]:
        is_http2 = self.kind.server == "hypercorn"
        return {
            "base_url": self.url,
            "headers": {"authorization": "Bearer ada"},
            "http1": not is_http2,
            "http2": is_http2,
            "timeout": 40,
            "trust_env": False,
            "verify": False,  # there is no TLS, and loading certificates takes longer than a call
            "limits": httpx.Limits(max_connections=None),
        }

    def ledger(self, *words: str) -> list[str]:
        """Give the lines that contain all words."""
        lines = self._ledger.read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def log(self) -> str:
        """Give what the server has written."""
        return self._log_file.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Give its processes, the first one first."""
        try:
            assert self._process is not None
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """End it at once, as a crash of the machine does."""
        process = self._process
        if process is None:
            return
        for each in self.processes():
            kill_process(each)
        process.wait(10)
        self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def kill_master(self) -> None:
        """Kill the first process only; its workers notice by themselves, or are killed a moment later."""
        master, *workers = self.processes()
        kill_process(master)
        psutil.wait_procs(workers, 0.5)
        for worker in workers:
            kill_process(worker)
        self.kill()
        self._wait_for_port()  # a worker that was begun in between ends by itself

    def _wait_for_port(self) -> None:
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) != 0:
                    return
            time.sleep(0.02)
        raise TimeoutError(f"A process of {self.kind} still listens.")

    def terminate(self, timeout_s: float) -> None:
        """Send SIGTERM, and wait until all its processes are gone.

        Raises:
            TimeoutError: They were not in time. They are killed then.
        """
        family = self.processes()
        family[0].send_signal(signal.SIGTERM)
        assert self._process is not None
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s and (self._process.poll() is None or any(map(_is_alive, family))):
            time.sleep(0.05)
        alive = [each for each in family if _is_alive(each)]
        for each in alive:
            kill_process(each)
        self.kill()
        if alive:
            raise TimeoutError(f"{len(alive)} processes of {self.kind} are left after {timeout_s} s")


def kill_process(process: psutil.Process) -> None:
    """Send SIGKILL; nothing happens if it is gone."""
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _without_empty_body(request: httpx.Request) -> None:
    """Let a request without a body end with its headers.

    Else its end comes in a frame of its own, and hypercorn closes the connection when that arrives after the answer.
    """
    if request.headers.get("content-length") == "0":
        del request.headers["content-length"]
