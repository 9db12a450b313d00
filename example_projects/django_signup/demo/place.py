"""Where the demo happens: gunicorn with the project, which is killed and started again, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx

from durably.testing.ports import free_port

__all__ = ["DAY_SECONDS", "PATIENCE_SECONDS", "STAFF", "Mail", "Place", "until"]

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0
DAY_SECONDS = 1.2
PACKING_SECONDS = 1.5
STAFF = ("staff", "staff-password")
_POLL_SECONDS = 0.1
_SEPARATOR = b"-" * 79


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, as Django's file backend wrote it.

    Attributes:
        to: Its recipient.
        key: The first part of its `Message-ID`: what it is, and about which sign-up or order.
        text: Its body.
    """

    to: str
    key: str
    text: str


@dataclass
class Place:
    """A directory with everything that the project writes, and the project's processes.

    Attributes:
        directory: Of all files.
        workers: How many processes gunicorn starts.
    """

    directory: Path
    workers: int = 4
    port: int = field(default_factory=free_port)
    running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the project is served."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the processes print."""
        return self.directory / "log"

    @property
    def environment(self) -> dict[str, str]:
        """What the project's settings read."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DURABLY_", "DJANGO_"))}
        return kept | {
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "SIGNUP_DATABASE": str(self.directory / "signup.db"),
            "SIGNUP_MAILS": str(self.directory / "mails"),
            "SIGNUP_DAY_SECONDS": str(DAY_SECONDS),
            "SIGNUP_PACKING_SECONDS": str(PACKING_SECONDS),
            "SIGNUP_BASE_URL": self.url,
            "DURABLY_URL": f"sqlite:///{self.directory / 'durably.db'}",
        }

    # ---- processes

    def prepare(self) -> None:
        """Make the tables, and an account for the staff."""
        name, password = STAFF
        self._manage("migrate", "--verbosity", "0")
        given = {"DJANGO_SUPERUSER_PASSWORD": password}
        self._manage("createsuperuser", "--noinput", "--username", name, "--email", "staff@shop.example", given=given)

    def _manage(self, *arguments: str, given: dict[str, str] | None = None) -> None:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self.environment | (given or {}),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> int:
        """Start gunicorn, wait until it answers, and give its process id.

        Raises:
            RuntimeError: It ended.
        """
        command = ["gunicorn", "django_signup.wsgi", "--bind", f"127.0.0.1:{self.port}", "--log-level", "warning"]
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                [sys.executable, "-m", *command, "--workers", str(self.workers), "--threads", "8"],
                cwd=PROJECT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until("gunicorn", self._answers)
        return self.running.pid

    def _answers(self) -> bool:
        if self.running is not None and self.running.poll() is not None:
            raise RuntimeError(f"gunicorn did not start:\n{self.log.read_text()[-4000:]}")
        try:
            return httpx.get(f"{self.url}/accounts/login/", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End all its processes at once, as a crash of the machine would."""
        if self.running is not None:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()
            self.running = None

    # ---- what it leaves behind

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the project's database."""
        with closing(sqlite3.connect(self.directory / "signup.db", timeout=20)) as database:
            return database.execute(query).fetchall()

    def count(self, condition: str) -> int:
        """Count the rows of `TABLE`, or of `TABLE where …`."""
        return self.rows(f"select count(*) from {condition}")[0][0]

    def mails(self) -> list[Mail]:
        """Read all mails, the oldest first. One that is being written does not count yet."""
        found: list[tuple[str, Mail]] = []
        for path in (self.directory / "mails").glob("*.log"):
            *whole, _ = path.read_bytes().split(_SEPARATOR)
            for each in whole:
                read = BytesParser(EmailMessage, policy=policy.default).parsebytes(each.lstrip())
                key = str(read["Message-ID"]).strip("<>").partition("@")[0]
                text = str(read.get_content())
                found.append((path.name, Mail(str(read["To"]), key, text)))
        return [mail for _, mail in sorted(found, key=lambda each: each[0])]


def until(what: str, holds: Callable[[], Any]) -> Any:
    """Ask again and again, and give the first answer that is true.

    Raises:
        TimeoutError: There was none.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:.0f} seconds for {what}")
        time.sleep(_POLL_SECONDS)
    return answer
