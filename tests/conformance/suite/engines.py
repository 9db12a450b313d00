"""The embedded engine in the place of a `restate-server`: as a process of its own, or in the one of the services.

Owns the engine's process, its ports and its file, and what a server's settings are called on its command line. An
`EngineProcess` is used as a `RestateServer` is; `ServicesWithin` stands for the service process where there is none.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from durably.testing.ports import free_port
from durably.testing.server import ServerFailedError
from tests.conformance.suite.columns import Column, Handlers, Host

__all__ = ["EngineProcess", "ServicesWithin"]

STARTUP_SECONDS: Final = 60.0
SHUTDOWN_SECONDS: Final = 15.0
_ROOT: Final = Path(__file__).resolve().parents[3]
# A server's setting, and the engine's option of the same meaning; "" for those that the engine has no need of.
_OPTIONS: Final[Mapping[str, str]] = {
    "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "--inactivity-timeout",
    "RESTATE_WORKER__INVOKER__DISABLE_EAGER_STATE": "--lazy-state",
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "--retry-initial-interval",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "--retry-max-interval",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "--retry-max-attempts",
    "RESTATE_EXPERIMENTAL_ENABLE_PROTOCOL_V7": "",
    "RESTATE_EXPERIMENTAL_ENABLE_VQUEUES": "",
    "RESTATE_WORKER__RULE_BOOK_POLL_INTERVAL": "",
    "RESTATE_WORKER__NUM_TIMERS_IN_MEMORY_LIMIT": "",
}
_SWITCHES: Final = {"--lazy-state"}


class EngineProcess:
    """An engine on free loopback ports with a file of its own; both outlive `kill`, `terminate` and `start`.

    Args:
        column: Whether the services run within it, how they are written, and which setting it has.
        directory: Where its file and its log go.
        settings: As for a `RestateServer`.
        environment: More environment variables for it.
    """

    def __init__(
        self,
        column: Column,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Choose ports; starts nothing."""
        self.column = column
        self.directory = directory
        self.file = directory / "engine.db"
        self.settings = dict(settings or {})
        self.environment = dict(environment or {})
        self._log_file = directory / "engine.log"
        self._ingress_port, self._admin_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def ingress_url(self) -> str:
        """Where invocations are sent, without a trailing slash."""
        return f"http://127.0.0.1:{self._ingress_port}"

    @property
    def admin_url(self) -> str:
        """Where deployments are registered and queries are asked, without a trailing slash."""
        return f"http://127.0.0.1:{self._admin_port}"

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process, or do nothing if it runs, and wait until both APIs are healthy.

        Raises:
            ServerFailedError: It exited or was not healthy in time.
        """
        if self._process is not None:
            return
        self.launch()
        deadline = time.monotonic() + STARTUP_SECONDS
        for port, path in ((self._admin_port, "/health"), (self._ingress_port, "/restate/health")):
            while not _answers(port, path):
                if self.exit_code is not None or time.monotonic() > deadline:
                    code = self.exit_code
                    self.kill()
                    raise ServerFailedError(f"The engine did not start (exit code {code}).\n{self.log_tail()}")
                time.sleep(0.02)

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        handlers = "sync" if self.column.handlers is Handlers.SYNC else "async"
        environment = inherited | {"PYTHONPATH": path, "DURABLY_CONFORMANCE_HANDLERS": handlers}
        self._log = self._log_file.open("ab")
        self._process = subprocess.Popen(
            self._command(),
            cwd=self.directory,
            env=environment | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def exit_code(self) -> int | None:
        """The process's exit code, or None while it runs or when it was not started."""
        return self._process.poll() if self._process is not None else None

    def register(
        self, uri: str, *, use_http_11: bool = False, additional_headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Register a service endpoint, replacing an earlier registration of the same address.

        Raises:
            ServerFailedError: The engine refused it; the text is the engine's.
        """
        if uri == ServicesWithin.url:
            listed: dict[str, Any] = self._admin("GET", "/deployments", None)
            return dict(listed["deployments"][0])
        request: dict[str, Any] = {"uri": uri, "force": True, "use_http_11": use_http_11}
        if additional_headers:
            request["additional_headers"] = dict(additional_headers)
        return self._admin("POST", "/deployments", request)

    def kill(self) -> None:
        """End the process at once, as a crash does. The file and the ports stay for `start`."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the process to stop and wait until it did. The file and the ports stay for `start`.

        Raises:
            AssertionError: It did not stop within 15 s; it is killed.
        """
        self._end(signal.SIGTERM)

    def stop(self) -> None:
        """End the process if it runs."""
        self._end(signal.SIGKILL)

    def log_tail(self, lines: int = 30) -> str:
        """Give the last lines that the engine logged."""
        if not self._log_file.is_file():
            return ""
        return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-lines:])

    def _admin(self, method: str, path: str, request: dict[str, Any] | None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=STARTUP_SECONDS)
        try:
            body = None if request is None else json.dumps(request)
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            if answer.status >= http.HTTPStatus.BAD_REQUEST:
                raise ServerFailedError(f"{method} {path} {request} was refused with {answer.status}: {text}")
            content: dict[str, Any] = json.loads(text)
            return content
        finally:
            connection.close()

    def _command(self) -> list[str]:
        options = [
            *("--db", str(self.file)),
            *("--ingress-port", str(self._ingress_port)),
            *("--admin-port", str(self._admin_port)),
            *("--max-protocol-version", str(self.column.setting.protocol_version)),
        ]
        for setting, value in self.settings.items():
            option = _OPTIONS[setting]
            options += [] if not option else [option] if option in _SWITCHES else [option, value]
        if self.column.host is Host.IN_PROCESS:
            application = "tests.conformance.services.asgi:app"
            return [sys.executable, "-m", "tests.engine.suite.process", *options, application]
        return [sys.executable, "-m", "durably", "engine", *options]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(SHUTDOWN_SECONDS)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"The engine ignored {how.name} for {SHUTDOWN_SECONDS:.0f} s") from None
            finally:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None


class ServicesWithin:
    """The services of an engine that runs them in its own process: they start and die with it.

    Args:
        engine: Whose.
    """

    url: Final = "inprocess"

    def __init__(self, engine: EngineProcess) -> None:
        """Start nothing."""
        self._engine = engine

    @property
    def is_running(self) -> bool:
        """Whether the engine runs."""
        return self._engine.pid is not None

    def start(self) -> None:
        """Start the engine if it does not run."""
        self._engine.start()

    def kill(self) -> None:
        """Kill the engine."""
        self._engine.kill()

    def terminate(self) -> None:
        """Stop the engine."""
        self._engine.terminate()

    def log_tail(self, lines: int = 25) -> str:
        """Give nothing: the engine's log has it."""
        return ""


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
