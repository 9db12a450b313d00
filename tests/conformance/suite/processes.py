"""Service endpoints as real processes of real web servers.

Owns the command line and the settings of each web server, and the life of its process group.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from durably.testing.ports import free_port
from tests.conformance.suite.columns import Column, Handlers, Host

__all__ = ["ServiceProcess"]

STARTUP_SECONDS: Final = 60.0
SHUTDOWN_SECONDS: Final = 15.0
_GRACE_SECONDS: Final = 1
_ROOT: Final = Path(__file__).resolve().parents[3]
# Without these hypercorn closes a connection, with all its streams, after a thousand requests.
_HYPERCORN: Final = """\
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
h2_max_concurrent_streams = 2147483647
"""


class ServiceProcess:
    """A web server that hosts the contract services, on a port that outlives restarts.

    Args:
        column: Which web server and which handlers.
        directory: Where its log and configuration go.
        environment: More environment variables for it.
    """

    asgi: str = "tests.conformance.services.asgi:app"

    def __init__(self, column: Column, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        """Choose a port; starts nothing."""
        self.column = column
        self.port = free_port()
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "service.log"
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address to register."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the web server was started and not ended since."""
        return self._process is not None

    def start(self) -> None:
        """Start the web server and wait until it answers.

        Raises:
            AssertionError: It exited or did not answer in time; the text ends with its log.
        """
        handlers = "sync" if self.column.handlers is Handlers.SYNC else "async"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = inherited | {"DURABLY_CONFORMANCE_HANDLERS": handlers, "PYTHONPATH": path}
        if self.column.handlers is Handlers.PEER:
            environment["DURABLY_CONFORMANCE_PEER"] = "restate"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.directory,
                env=environment | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTUP_SECONDS
        while not self._answers():
            exited = self._process.poll()
            if exited is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.column.host.value} did not start (exit code {exited}).\n{self.log_tail()}")
            time.sleep(0.03)

    def kill(self) -> None:
        """End every process of the group at once, as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def terminate(self) -> float:
        """Ask the web server to stop and wait until it did.

        Returns:
            The seconds that it took.

        Raises:
            AssertionError: It did not stop within 15 s; it is killed.
        """
        process, self._process = self._process, None
        if process is None:
            return 0.0
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.column.host.value} ignored SIGTERM for {SHUTDOWN_SECONDS:.0f} s") from None
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        return time.monotonic() - begun

    def log_tail(self, lines: int = 25) -> str:
        """Give the last lines that the process logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.is_file() else ""

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _command(self) -> list[str]:
        port = str(self.port)
        asgi, wsgi = self.asgi, "tests.conformance.services.wsgi:app"
        python = [sys.executable, "-m"]
        match self.column.host:
            case Host.HYPERCORN:
                configuration = self.directory / "hypercorn.toml"
                configuration.write_text(_HYPERCORN + f"graceful_timeout = {_GRACE_SECONDS}\n")
                return [*python, "hypercorn", "-c", str(configuration), "--bind", f"127.0.0.1:{port}", asgi]
            case Host.GRANIAN:
                options = ["--interface", "asgi", "--http", "auto", "--no-ws", "--workers", "1", "--loop", "asyncio"]
                limits = ["--backlog", "4096", "--backpressure", "4096", "--workers-kill-timeout", str(_GRACE_SECONDS)]
                return [*python, "granian", *options, *limits, "--host", "127.0.0.1", "--port", port, asgi]
            case Host.UVICORN:
                options = ["--log-level", "warning", "--timeout-graceful-shutdown", str(_GRACE_SECONDS)]
                return [*python, "uvicorn", *options, "--host", "127.0.0.1", "--port", port, asgi]
            case Host.GUNICORN:
                worker = ["--worker-class", "gthread", "--workers", "1", "--threads", "64"]
                options = ["--graceful-timeout", str(_GRACE_SECONDS), "--timeout", "120", "--log-level", "warning"]
                return [*python, "gunicorn", *worker, *options, "--bind", f"127.0.0.1:{port}", wsgi]
            case Host.IN_PROCESS:
                raise AssertionError("these services run in the process of the engine")


def _signal_group(leader: int, how: signal.Signals) -> None:
    try:
        os.killpg(leader, how)
    except ProcessLookupError:
        return
