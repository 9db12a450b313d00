"""The processes of the demo: the parties outside, and the shop, which is killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from outside.effects import EffectsLog

__all__ = ["PATIENCE_SECONDS", "Place", "Process"]

HERE = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 60.0
PACKING_SECONDS = 1.0
REMINDER_SECONDS = 2.5


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
                env=os.environ | environment,
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
        """End it at once, its children too, as a crash or the kernel would."""
        if self.running is not None:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()
            self.running = None


@dataclass
class Place:
    """Where the demo happens.

    Attributes:
        directory: Of all files.
        server: A Restate Server, or None for the engine in the shop's own process.
        workers: How many processes uvicorn starts for the shop.
    """

    directory: Path
    server: RestateServer | None = None
    workers: int = 1
    shop: Process = field(init=False)
    outside: Process = field(init=False)

    def __post_init__(self) -> None:
        """Choose ports."""
        self.shop, self.outside = Process(self.directory / "shop.log"), Process(self.directory / "outside.log")
        self.shop_port, self.bank_port, self.smtp_port = free_port(), free_port(), free_port()

    @property
    def url(self) -> str:
        """Where the shop listens."""
        return f"http://127.0.0.1:{self.shop_port}"

    @property
    def database(self) -> str:
        """URL of the shop's own database."""
        return f"sqlite:///{self.directory / 'shop.db'}"

    @property
    def effects(self) -> EffectsLog:
        """What happened outside."""
        return EffectsLog(self.directory / "effects.jsonl")

    def start_outside(self) -> int:
        """Start the bank and the mail server."""
        ports = ["--bank", str(self.bank_port), "--smtp", str(self.smtp_port)]
        module = ["outside", *ports, "--log", str(self.directory / "effects.jsonl")]
        return self.outside.start(module, {}, lambda: _answers(f"http://127.0.0.1:{self.bank_port}/docs"))

    def start_shop(self) -> int:
        """Start uvicorn with the shop."""
        environment = {
            "SHOP_DATABASE": self.database,
            "SHOP_BANK_URL": f"http://127.0.0.1:{self.bank_port}",
            "SHOP_SMTP_PORT": str(self.smtp_port),
            "SHOP_PACKING_SECONDS": str(PACKING_SECONDS),
            "SHOP_REMINDER_SECONDS": str(REMINDER_SECONDS),
        }
        if self.server is None:
            environment["DURABLY_URL"] = f"sqlite:///{self.directory / 'durably.db'}"
        else:
            environment |= {
                "DURABLY_URL": self.server.ingress_url,
                "DURABLY_ADMIN_URL": self.server.admin_url,
                "DURABLY_SERVICE_URL": self.url,
                "DURABLY_SECRET_KEY": "a secret that all processes of the shop share",
            }
        module = ["uvicorn", "shop.app:app", "--port", str(self.shop_port), "--workers", str(self.workers)]
        return self.shop.start(
            [*module, "--log-level", "warning"], environment, lambda: _answers(f"{self.url}/products")
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
