"""The tutorial for Django, followed word by word: its commands are run, its files are written, its server is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from durably.testing.ports import free_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "django.md"
FILE = re.compile(r"^```python\n# (\S+\.py)(, at the end)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (django-admin|python manage\.py) (.*)$", re.MULTILINE)


class Project:
    """A project that is made as the page says.

    Attributes:
        folder: With `manage.py`.
        log: What its server prints.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self.folder = folder / "mysite"
        self.log = folder / "log"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def run(self, program: str, arguments: str) -> None:
        """Run a command of the page."""
        is_first = program == "django-admin"
        line = [sys.executable, *(["-m", "django"] if is_first else ["manage.py"]), *arguments.split()]
        where = self.folder.parent if is_first else self.folder
        done = subprocess.run(line, cwd=where, env=self._environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def write(self, text: str, changes: dict[str, str]) -> None:
        """Write the files of the page."""
        for name, at_the_end, code in FILE.findall(text):
            path, content = self.folder / name, code
            for old, new in changes.items():
                content = content.replace(old, new)
            path.write_text((path.read_text("utf-8") if at_the_end else "") + content, encoding="utf-8")

    @contextmanager
    def served(self, *command: str, asks: bool = True) -> Generator[subprocess.Popen[bytes]]:
        """Serve it, without a request if nobody asks, and kill all its processes at the end."""
        with self.log.open("ab") as out:
            line = [sys.executable, *(part.format(port=self._port) for part in command)]
            process = subprocess.Popen(
                line, cwd=self.folder, env=self._environment(), stdout=out, stderr=out, start_new_session=True
            )
        try:
            if asks:
                self.until(lambda: self._answers(process))
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.output
        try:
            return httpx.get(f"{self.url}/restate/health").is_success
        except httpx.TransportError:
            return False

    def _environment(self) -> dict[str, str]:
        names = ("DURABLY_", "DJANGO_", "SIGNUP_", "PROJECT_")
        return {name: value for name, value in os.environ.items() if not name.startswith(names)}

    @property
    def output(self) -> str:
        """What was printed up to now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(self, holds: Callable[[], Any]) -> Any:
        """Ask until the answer is true."""
        deadline = time.monotonic() + 40
        while not (answer := holds()):
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return answer

    def sleeps(self) -> bool:
        """Whether the charge is recorded: the journal goes on after it."""
        line = [sys.executable, "-m", "durably", "invocations", "list", "--json"]
        done = subprocess.run(
            line, cwd=self.folder, env=self._environment(), capture_output=True, text=True, timeout=60
        )
        return any(each["journal_size"] > 3 for each in json.loads(done.stdout))

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send what curl sends."""
        return httpx.post(self.url + path, timeout=30, **options)


def test_the_tutorial(tmp_path: Path):
    """Charged by one process, shipped by the next without being asked; one charge for two requests, a 202, state."""
    project, text = Project(tmp_path), PAGE.read_text("utf-8")
    commands = [each for each in COMMAND.findall(text) if not each[1].startswith("runserver")]
    assert [arguments.split()[0] for _, arguments in commands] == [
        "startproject", "startapp", "makemigrations", "migrate", "test",
    ]  # fmt: skip
    for program, arguments in commands[:2]:
        project.run(program, arguments)
    project.write(
        text,
        {
            "ctx.sleep(timedelta(seconds=10))\n": "ctx.sleep(timedelta(seconds=6))\n",
            "seconds=10))  #": "seconds=1))  #",
        },
    )
    for program, arguments in commands[2:]:
        project.run(program, arguments)
    project.run("python manage.py", "check --fail-level WARNING")
    key = {"Idempotency-Key": "A-1"}
    with project.served("manage.py", "runserver", "--noreload", "{port}"):
        later = project.post("/orders/A-1/", headers={**key, "Prefer": "respond-async"})
        assert later.status_code == 202
        project.until(project.sleeps)
    assert "shipping A-1" not in project.output
    with project.served("manage.py", "runserver", "{port}", asks=False):
        project.until(lambda: "shipping A-1" in project.output)
        project.until(lambda: httpx.get(project.url + later.headers["location"]).status_code == 201)
    with project.served("-m", "gunicorn", "mysite.wsgi", "-b", "127.0.0.1:{port}", "--workers", "2", "--threads", "4"):
        again = project.post("/orders/A-1/", headers=key)
        assert (again.status_code, again.json()) == (201, {"order": "A-1", "payment": "payment-A-1"})
        assert project.post("/baskets/ada/", data={"item": "mug"}).json() == {"items": ["mug"]}
        assert project.post("/baskets/ada/", data={"item": "pen"}).json() == {"items": ["mug", "pen"]}
    with project.served("-m", "uvicorn", "mysite.asgi:application", "--port", "{port}", "--log-level", "warning"):
        project.until(lambda: "are you happy with A-1?" in project.output)
    assert [project.output.count(f"{what} A-1") for what in ("charging for", "shipping", "happy with")] == [1, 1, 1]
