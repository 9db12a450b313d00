"""A PostgreSQL server of the machine's own packages, on loopback, for as long as a test session lasts.

Owns the search for its programs, a folder with its data, and its process. It never runs as root and listens on TCP
only. The database `migrated` holds the tables of the project; the others are copies of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from durably.testing.ports import free_port

__all__ = ["OWNER", "PostgresServer", "find_programs"]

OWNER: Final = "shop"
"""The role of the project, which is no superuser."""

_ADMIN: Final = "postgres"
_UNPRIVILEGED: Final = ("postgres", "nobody")
_ROOT: Final = Path(__file__).parents[2]


def find_programs() -> Path | None:
    """Find the folder with `initdb` and `postgres`: Debian's newest, else what is on the path."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda each: int(each.parts[-3]) if each.parts[-3].isdigit() else 0,
    )
    if found:
        return found[-1].parent
    beside = shutil.which("initdb")
    return None if beside is None else Path(beside).resolve().parent


class PostgresServer:
    """One server.

    Attributes:
        port: On 127.0.0.1.
    """

    def __init__(self, programs: Path, *, max_connections: int = 60) -> None:
        """Choose a port and a folder; starts nothing.

        Args:
            programs: Folder of `initdb` and `postgres`.
            max_connections: Of all roles together; none is reserved for superusers.
        """
        self.port = free_port()
        self._programs = programs
        self._max_connections = max_connections
        self._folder = Path(tempfile.mkdtemp(prefix="durably-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._copies = 0

    def start(self) -> None:
        """Make the cluster, start the server, and make the tables of the project.

        Raises:
            RuntimeError: It does not answer.
        """
        user = self._user()
        if user is not None:
            shutil.chown(self._folder, user)
        data, log = self._folder / "data", self._folder / "log"
        make = ("initdb", "-D", data, "-U", _ADMIN, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._run(*make)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": self._max_connections,
            "superuser_reserved_connections": 0,
            "max_wal_senders": 0,
            "fsync": "off",  # what is tested is a process of ours that dies, not a machine
            "timezone": "UTC",
        }
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", data),
                    *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
                ],
                stdout=output,
                stderr=output,
                user=user,
                cwd="/",
            )
        deadline_s = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                text = log.read_text()
                self.stop()
                raise RuntimeError(f"PostgreSQL did not start:\n{text[-2000:]}")
            time.sleep(0.02)
        self.ask(f"CREATE ROLE {OWNER} LOGIN")
        self.ask(f"CREATE DATABASE migrated OWNER {OWNER}")
        environment = {**os.environ, **self.environment("migrated")}
        command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v", "0"]
        subprocess.run(command, check=True, timeout=60, cwd=_ROOT, env=environment)

    def _user(self) -> str | None:
        """Give the user to become; None where this process is not root's."""
        if os.geteuid() != 0:
            return None
        import pwd

        known = {each.pw_name for each in pwd.getpwall()}
        return next(name for name in _UNPRIVILEGED if name in known)

    def _run(self, program: str, *arguments: Any) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, arguments)],
            capture_output=True,
            user=self._user(),
            cwd="/",
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr.decode()[-2000:]}")

    def _answers(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def session(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Open a connection as the superuser; close it."""
        where = f"host=127.0.0.1 port={self.port} user={_ADMIN} dbname={database} connect_timeout=2"
        return psycopg.connect(where, autocommit=True)

    def ask(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, and give its rows."""
        with self.session(database) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description is not None else []

    def refusals(self) -> list[str]:
        """Give what was logged of connections that were refused since the server began."""
        lines = (self._folder / "log").read_text().splitlines()
        return [line for line in lines if "FATAL" in line and ("connection slots" in line or "too many" in line)]

    def copy(self) -> str:
        """Make a database with the tables of the project, and nothing in them; gives its name."""
        self._copies += 1
        name = f"copy_{self._copies}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE migrated OWNER {OWNER}")
        return name

    def environment(self, database: str) -> dict[str, str]:
        """Give what lets a process of the project use a database."""
        return {
            "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
            "PROJECT_DATABASE": f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}",
        }

    def stop(self) -> None:
        """Stop the server and remove its data."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast": it does not wait for clients
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        shutil.rmtree(self._folder, ignore_errors=True)
