"""An application is taken as it is: its own tests pass before and after it becomes durable.

`project` is that application, with tests that know nothing of durable handlers. It is copied and run in a process of
its own, as its author would.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project"
IMPORT = "from durably_fastapi import Durably\n"
TAKE = "durably = Durably(app)\n"


def run_its_tests(folder: Path, *arguments: str) -> str:
    """Run the project's tests; gives what pytest says at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DURABLY_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a copy of the application."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return folder


def change(file: Path, *replacements: tuple[str, str]) -> None:
    """Edit a file; each replaced text occurs in it."""
    text = file.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)


def untouched(project: Path) -> None:
    """Leave it as it is."""


def two_lines(project: Path) -> None:
    """Take the application over where it is made."""
    made = 'app = FastAPI(title="Library", lifespan=lifespan)\n'
    change(
        project / "library" / "main.py", ("from fastapi import", IMPORT + "from fastapi import"), (made, made + TAKE)
    )


def two_lines_at_the_end(project: Path) -> None:
    """Take the application over after everything was added to it."""
    main = project / "library" / "main.py"
    main.write_text(main.read_text() + IMPORT + TAKE)


def a_durable_endpoint(project: Path) -> None:
    """Make lending durable as well: a decorator, and where that comes from."""
    change(
        project / "library" / "loans.py",
        ("\nrouter =", "\nfrom durably_fastapi import Durably\n\ndurably = Durably()\nrouter ="),
        ("\ndef lend(", "\n@durably.endpoint\ndef lend("),
    )
    made = 'app = FastAPI(title="Library", lifespan=lifespan)\n'
    change(project / "library" / "main.py", (made, made + "loans.durably.init_app(app)\n"))


@pytest.mark.parametrize("edit", [untouched, two_lines, two_lines_at_the_end, a_durable_endpoint])
def test_its_own_tests_pass(edit: Callable[[Path], None], project: Path):
    """Lifespan, routers, every kind of middleware, mounts, WebSockets, overrides and error handlers work as before."""
    edit(project)
    assert run_its_tests(project).startswith("17 passed")
