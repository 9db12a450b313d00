"""The project on real web servers, as processes, each with a database of its own.

Owns starting and stopping them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import httpx
import psutil

from durably.testing.ports import free_port
from durably.testing.server import RestateServer

if TYPE_CHECKING:
    from tests.django.postgres import PostgresServer

ROOT: Final = Path(__file__).parents[3]
ASGI: Final = "tests.django.project.asgi:application"
WSGI: Final = "tests.django.project.wsgi:application"
_TOKEN: Final = "a" * 32

SYNC_WORKERS: Final = ("-m", "gunicorn", WSGI, "-b", "127.0.0.1:{port}", "-w", "4")
"""Each serves one request at a time."""

COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "gunicorn": ("-m", "gunicorn", WSGI, "-b", "127.0.0.1:{port}", "-w", "4", "--threads", "4"),
    "uvicorn": ("-m", "uvicorn", ASGI, "--host", "127.0.0.1", "--port", "{port}", "--no-access-log"),
    "hypercorn": ("-m", "hypercorn", ASGI, "-b", "127.0.0.1:{port}", "--graceful-timeout", "1"),
    "granian": (
        *("-m", "granian", ASGI, "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "--http", "auto"),
        *("--no-ws", "--workers-kill-timeout", "1"),
    ),
    "plain": (
        *("-m", "uvicorn", "tests.django.project.plain_asgi:application", "--host", "127.0.0.1", "--port", "{port}"),
        *("--lifespan", "off", "--no-access-log"),
    ),
    "runserver": ("-m", "django", "runserver", "127.0.0.1:{port}"),
}


@dataclass(frozen=True)
class Kind:
    """Which runtime, which web server, and which database."""

    runtime: str
    server: str
    database: str = "sqlite"

    def __str__(self) -> str:
        return f"{self.runtime}-{self.server}-{self.database}"


RUNTIMES: Final = ("embedded", "restate")
DATABASES: Final = ("sqlite", "postgres")
PLAIN: Final = "plain"
"""Django's own ASGI application, without the layer around it; looked at on one database."""

KINDS: Final = tuple(
    Kind(runtime, server, database)
    for runtime in RUNTIMES
    for database in DATABASES
    for server in COMMANDS
    if server != PLAIN or database == DATABASES[0]
)


def migrated_file(folder: Path) -> Path:
    """Make a file with the tables of the project, for sites to begin with."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
        "PROJECT_FOLDER": str(folder),
    }
    migrate = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v", "0"]
    subprocess.run(migrate, check=True, timeout=60, cwd=ROOT, env=environment)
    return folder / "project.sqlite3"


class Site:
    """A web server with the project.

    Attributes:
        kind: Which one.
        database_name: Of its database on the PostgreSQL server, or None.
    """

    def __init__(
        self,
        kind: Kind,
        folder: Path,
        restate: RestateServer | None,
        tables: Path | PostgresServer,
        command: Sequence[str] | None = None,
        **more: str,
    ) -> None:
        """Choose a port; starts nothing.

        Args:
            kind: Which one.
            folder: For its files.
            restate: The runtime, or None for the embedded engine.
            tables: A file with the tables, or a PostgreSQL server that has them.
            command: Starts it, if not as its kind does.
            more: More of its environment.
        """
        self.kind = kind
        self._command = command or COMMANDS[kind.server]
        self.database_name: str | None = None
        self.folder = folder
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._log_file = folder / "log"
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DURABLY_")},
            "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
            "PROJECT_FOLDER": str(folder),
            "PROJECT_DEBUG": "1",
            "PROJECT_URL": f"sqlite:///{folder / 'engine.db'}",
        }
        if restate is not None:
            self._environment |= {
                "PROJECT_URL": restate.ingress_url,
                "PROJECT_ADMIN_URL": restate.admin_url,
                "PROJECT_SERVICE_URL": self._url,
                "DURABLY_SECRET_KEY": "between the workers of one project",
            }
        if isinstance(tables, Path):
            shutil.copy(tables, folder / "project.sqlite3")
        else:
            self.database_name = tables.copy()
            self._environment |= tables.environment(self.database_name)
        self._environment |= more

    def start(self) -> None:
        """Start the server, and wait until durable calls are answered.

        Raises:
            RuntimeError: It does not answer.
        """
        self._log = self._log_file.open("ab")
        output: dict[str, Any] = {"cwd": ROOT, "env": self._environment, "stdout": self._log, "stderr": self._log}
        command = [sys.executable, *(part.format(port=self._port) for part in self._command)]
        process = self._process = subprocess.Popen(command, **output)
        deadline_s = time.monotonic() + 60
        with self.client() as client:
            while not self._answers(client):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    self.stop()
                    raise RuntimeError(f"{self.kind} did not start:\n{self._log_file.read_text()[-4000:]}")
                time.sleep(0.05)

    def _answers(self, client: httpx.Client) -> bool:
        try:
            return client.post("/fail/terminal/").status_code == 409
        except httpx.TransportError:
            return False

    def client(self) -> httpx.Client:
        """Give a client that passes the check of CSRF tokens."""
        return httpx.Client(
            base_url=self._url,
            headers={"X-CSRFToken": _TOKEN, "Content-Type": "application/json"},
            cookies={"csrftoken": _TOKEN},
            timeout=30,
            trust_env=False,
            verify=False,  # there is no TLS, and loading certificates takes longer than a call
        )

    @property
    def address(self) -> str:
        """Where the runtime calls it."""
        return f"{self._url}/restate"

    @property
    def processes(self) -> int:
        """How many processes serve."""
        return 4 if self.kind.server == "gunicorn" else 1

    def engines(self) -> int:
        """Count the processes that have the file of the embedded engine open."""
        return sum(map(self._has_engine, self._family()))

    @property
    def has_engine_before_fork(self) -> bool:
        """Whether the process that was started has one itself."""
        return self._has_engine(self._family()[0])

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def _has_engine(self, process: psutil.Process) -> bool:
        path = str(self.folder / "engine.db")
        return any(each.path == path for each in process.open_files())

    def stop(self) -> float:
        """Send SIGTERM; gives the seconds until all its processes were gone. After 15 s they are killed."""
        process, self._process = self._process, None
        if process is None:
            return 0.0
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
        started_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, 15)
        for each in alive:
            each.kill()
        process.wait(10)
        if self._log is not None:
            self._log.close()
        return time.monotonic() - started_s
