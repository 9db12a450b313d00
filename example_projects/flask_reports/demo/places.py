"""The processes of the demo: a mail server, and gunicorn with the application, which is killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from postoffice import Mail, read_mails

__all__ = ["PATIENCE_SECONDS", "Place", "Process"]

HERE = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0
SETTLE_SECONDS = 0.8


@dataclass
class Process:
    """One process and everything that it starts.

    Attributes:
        log: File for what it prints.
        running: The process, while there is one.
    """

    log: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self, module: Sequence[str], environment: dict[str, str], is_up: Callable[[], bool]) -> int:
        """Run a module, wait until it is up, and give its id.

        Raises:
            RuntimeError: It ended, or is not up in time.
        """
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=HERE,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_up():
            if self.running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module[0]} did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)
        return self.running.pid

    def kill(self) -> None:
        """End it at once, its workers too, as a crash of the machine would."""
        if self.running is not None:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()
            self.running = None


@dataclass
class Place:
    """Where the demo happens.

    Attributes:
        directory: Of all files.
        server: A Restate Server, or None for the engine in one of gunicorn's workers.
        workers: How many workers gunicorn starts.
    """

    directory: Path
    server: RestateServer | None = None
    workers: int = 4
    app: Process = field(init=False)
    postoffice: Process = field(init=False)

    def __post_init__(self) -> None:
        """Choose ports."""
        self.app, self.postoffice = Process(self.directory / "app.log"), Process(self.directory / "mail.log")
        self.port, self.mail_port = free_port(), free_port()
        self.mail_log = self.directory / "mails.jsonl"

    @property
    def url(self) -> str:
        """Where the application listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """File of the application's own database."""
        return self.directory / "reports.db"

    @property
    def mails(self) -> list[Mail]:
        """What was mailed."""
        return read_mails(self.mail_log)

    @property
    def environment(self) -> dict[str, str]:
        """How the application is configured."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DURABLY_", "REPORTS_"))}
        kept |= {
            "REPORTS_SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.database}",
            "REPORTS_MAIL_PORT": str(self.mail_port),
            "REPORTS_SETTLE_SECONDS": str(SETTLE_SECONDS),
        }
        if self.server is None:
            return kept | {"DURABLY_URL": f"sqlite:///{self.directory / 'durably.db'}"}
        return kept | {
            "DURABLY_URL": self.server.ingress_url,
            "DURABLY_ADMIN_URL": self.server.admin_url,
            "DURABLY_SERVICE_URL": self.url,
            "DURABLY_SECRET_KEY": "a secret that all workers share",
        }

    def command(self, *arguments: str) -> None:
        """Run one of the application's commands, to its end."""
        line = [sys.executable, "-m", "flask", "--app", "reports", *arguments]
        subprocess.run(line, cwd=HERE, env=self.environment, check=True, capture_output=True)

    def start_postoffice(self) -> int:
        """Start the mail server."""

        def is_up() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.mail_port)) == 0

        module = ["postoffice", "--port", str(self.mail_port), "--log", str(self.mail_log)]
        return self.postoffice.start(module, self.environment, is_up)

    def start_app(self) -> int:
        """Start gunicorn; each of its workers starts its runtime with the first request."""

        def is_up() -> bool:
            try:
                return httpx.get(f"{self.url}/restate/health", timeout=2, trust_env=False).is_success
            except httpx.TransportError:
                return False

        module = ["gunicorn", "-k", "sync", "-w", str(self.workers), "-b", f"127.0.0.1:{self.port}"]
        return self.app.start([*module, "--no-control-socket", "reports:create_app()"], self.environment, is_up)
