"""Commands that go on until they are stopped, as processes; and a copy of the example project to change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from durably.testing.ports import free_port
from outside.effects import EffectsLog
from outside.running import Outside, run_outside
from postoffice import PostOffice

EXAMPLE = Path(__file__).resolve().parents[2] / "example_projects" / "fastapi_checkout"
REPORTS = EXAMPLE.with_name("flask_reports")


@dataclass(frozen=True)
class Dev:
    """A running `durably dev`.

    Attributes:
        process: That watches.
        log: Where its output goes.
        folder: It was started in.
    """

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    @property
    def output(self) -> str:
        """What it has written up to now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has written something so often."""
        deadline = time.monotonic() + 30
        while self.output.count(text) < times:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, f"no {text!r} in {self.output}"
            time.sleep(0.05)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give this process's environment without what chooses a runtime, or a project of other tests."""
    chosen = ("DURABLY_", "SHOP_", "REPORTS_", "DJANGO_SETTINGS_MODULE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(chosen)}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **(more or {})}


@contextmanager
def running_dev(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Generator[Dev]:
    """Run `durably dev` in a folder."""
    log = folder / "dev.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "durably", "dev", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, env=environment(env))
    try:
        yield Dev(process, log, folder)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, to its end."""
    line = [sys.executable, "-m", "durably", *arguments]
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, env=environment(env), timeout=60, check=False
    )


@contextmanager
def copied_example(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Copy the example project, and run what it calls; gives the copy and its environment."""
    copy = folder / "shop"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "*.jsonl", ".pytest_cache"))
    outside = Outside(free_port(), free_port(), EffectsLog(folder / "effects.jsonl"))
    with run_outside(outside):
        yield (
            copy,
            {
                "SHOP_BANK_URL": f"http://127.0.0.1:{outside.bank_port}",
                "SHOP_SMTP_PORT": str(outside.smtp_port),
                "SHOP_PACKING_SECONDS": "3600",
            },
        )


@contextmanager
def copied_reports(folder: Path) -> Generator[tuple[Path, dict[str, str]]]:
    """Copy the report app, make its tables, and run its mail server; gives the copy and its environment."""
    copy, port = folder / "copy", free_port()
    shutil.copytree(REPORTS, copy, ignore=shutil.ignore_patterns("__pycache__", "tests", "*.db*", "instance"))
    env = {
        "REPORTS_MAIL_PORT": str(port),
        "REPORTS_SETTLE_SECONDS": "0",
        "REPORTS_SQLALCHEMY_DATABASE_URI": f"sqlite:///{copy / 'reports.db'}",
        "DURABLY_SECRET_KEY": "only for this test",
    }
    line = [sys.executable, "-m", "flask", "--app", "reports", "init"]
    subprocess.run(line, cwd=copy, env=environment(env), check=True, capture_output=True, timeout=60)
    with PostOffice(port, folder / "mails.jsonl") as office:
        serving = threading.Thread(target=office.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield copy, env
        finally:
            office.shutdown()
            serving.join()


def answers(url: str) -> bool:
    """Tell whether something answers well."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False
