"""Run a real `restate-server` binary for tests: find it, start it, register services, crash it, stop it.

Owns the process, its ports and its data directory. It needs no container engine: the binary is the one that the
npm package `@restatedev/restate-server` brings, or any other that `DURABLY_RESTATE_SERVER` or `PATH` names.

    with RestateServer(settings={"RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s"}) as server:
        server.register("http://127.0.0.1:9080")
        ...                         # talk to server.ingress_url and server.admin_url
        server.kill()               # kill -9; the data stays
        server.start()              # same ports, same data
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from durably.errors import ConfigurationError, DurablyError
from durably.testing.ports import free_port

__all__ = ["RestateServer", "ServerFailedError", "ServerNotFoundError", "find_server"]

BINARY_VARIABLE: Final = "DURABLY_RESTATE_SERVER"

# One partition and small caches: a test server holds little, and several of them run side by side.
_SETTINGS: Final[Mapping[str, str]] = {
    "DO_NOT_TRACK": "1",
    "RESTATE_DISABLE_TELEMETRY": "true",
    "RESTATE_LISTEN_MODE": "tcp",
    "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
    "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "256MB",
    "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
    "RESTATE_LOG_FILTER": "warn,octocrab=off",
    "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
}
_POLL_SECONDS: Final = 0.02


class ServerNotFoundError(DurablyError):
    """No `restate-server` binary is installed on this machine."""


class ServerFailedError(DurablyError):
    """The server did not start, stop or accept a deployment. The text ends with the tail of its log."""


def find_server(start: Path | None = None) -> Path | None:
    """Look for a `restate-server` binary.

    The order is: the file that the environment variable `DURABLY_RESTATE_SERVER` names, `PATH`, then for `start` and
    each folder above it `.servers/node_modules` and `node_modules`.

    Args:
        start: The folder to begin at; None means the current one.

    Returns:
        The binary, or None where there is none.

    Raises:
        ConfigurationError: The environment variable names a file that does not exist.
    """
    if named := os.environ.get(BINARY_VARIABLE):
        if not Path(named).is_file():
            raise ConfigurationError(f"{BINARY_VARIABLE} names {named!r}, which is not a file.")
        return Path(named)
    if on_path := shutil.which("restate-server"):
        return Path(on_path)
    return next(_installed_by_npm(start or Path.cwd()), None)


def _installed_by_npm(start: Path) -> Iterator[Path]:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine())
    binary = Path("node_modules", "@restatedev", f"restate-server-{sys.platform}-{machine}", "bin", "restate-server")
    for folder in (start.resolve(), *start.resolve().parents):
        for candidate in (folder / ".servers" / binary, folder / binary):
            if candidate.is_file():
                yield candidate


class RestateServer:
    """One `restate-server` process on free loopback ports, with its own data directory.

    The ports and the data outlive `kill`, `terminate` and `start`; `stop` ends the process and removes a directory that
    was made here. Not safe for use by several threads at once, except for reading the URLs.

    Args:
        settings: Environment variables for the server (`RESTATE_…`), on top of those that make it small and quiet.
        binary: The program; None means `find_server()`.
        directory: Where data and log live, kept by `stop`; None means a temporary directory, removed by `stop`.
        startup_timeout: How long `start` waits for health.

    Raises:
        ServerNotFoundError: No binary was given and none was found.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        binary: Path | None = None,
        directory: Path | None = None,
        startup_timeout: timedelta = timedelta(seconds=60),
    ) -> None:
        """Choose ports and a directory; starts nothing."""
        found = binary or find_server()
        if found is None:
            raise ServerNotFoundError(
                "No restate-server binary was found.",
                hint="Install one with: npm install --prefix .servers @restatedev/restate-server@1.7",
            )
        self.binary = found
        self.settings: dict[str, str] = dict(settings or {})
        self.startup_timeout = startup_timeout
        self._keeps_directory = directory is not None
        self.directory: Path = directory or Path(tempfile.mkdtemp(prefix="durably-restate-"))
        self._ingress_port, self._admin_port, self._node_port = free_port(), free_port(), free_port()
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
        """Start the process on the ports and the data of this object, and wait until both APIs are healthy.

        Raises:
            ServerFailedError: It exited or was not healthy in time; no process is left.
        """
        if self._process is not None:
            raise ServerFailedError("The server is already running.")
        self._log = (self.directory / "server.log").open("ab")
        self._process = subprocess.Popen(
            [str(self.binary), "--no-logo", "--node-name", "test", "--base-dir", str(self.directory / "data")],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + self.startup_timeout.total_seconds()
        for url in (f"{self.admin_url}/health", f"{self.ingress_url}/restate/health"):
            while not _is_healthy(url):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._end(signal.SIGKILL)
                    raise ServerFailedError(f"restate-server did not become healthy.\n{self.log_tail()}")
                time.sleep(_POLL_SECONDS)

    def register(
        self, uri: str, *, use_http_11: bool = False, additional_headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Register a service endpoint, replacing an earlier registration of the same address.

        Args:
            uri: The endpoint's base URL.
            use_http_11: Speak HTTP/1.1 to it; otherwise HTTP/2 with prior knowledge.
            additional_headers: Sent with every request to the endpoint.

        Returns:
            The server's answer: `id`, `services`, `min_protocol_version`, `max_protocol_version`, …

        Raises:
            ServerFailedError: The server refused it; the text is the server's.
        """
        request: dict[str, Any] = {"uri": uri, "force": True, "use_http_11": use_http_11}
        if additional_headers:
            request["additional_headers"] = dict(additional_headers)
        call = urllib.request.Request(
            f"{self.admin_url}/deployments",
            data=json.dumps(request).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(call, timeout=self.startup_timeout.total_seconds()) as answer:
                registered: dict[str, Any] = json.load(answer)
                return registered
        except urllib.error.HTTPError as refusal:
            text = refusal.read().decode(errors="replace")
            raise ServerFailedError(f"The deployment {uri} was refused with {refusal.code}: {text}") from refusal

    def kill(self) -> None:
        """End the process at once, as a crash does. Data and ports stay for `start`."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the process to stop and wait until it did. Data and ports stay for `start`."""
        self._end(signal.SIGTERM)

    def stop(self) -> None:
        """End the process if it runs, and remove a temporary directory."""
        self._end(signal.SIGKILL)
        if not self._keeps_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines: int = 30) -> str:
        """Give the last lines that the server logged."""
        log = self.directory / "server.log"
        if not log.is_file():
            return ""
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        """Start the server."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
        own_ports = {
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self._ingress_port}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{self._admin_port}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{self._node_port}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{self._node_port}/",
        }
        return inherited | dict(_SETTINGS) | own_ports | self.settings

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(timeout=self.startup_timeout.total_seconds())
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
