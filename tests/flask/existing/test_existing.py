"""An application is taken as it is: its own tests pass before and after it becomes durable.

`project` is that application, with tests that know nothing of durable views. It is copied and run in a process of its
own, as its author would.
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
TAKE = "    durably.init_app(app)\n"
EXTENSION = '"""The extension."""\n\nfrom durably_flask import Durably\n\ndurably = Durably()\n'
LATER = '''

@bp.post("/later/<int:post_id>")
@durably.endpoint
def later(post_id: int, ctx: SyncContext) -> Any:
    """Give a post another title, in steps."""

    def look() -> str:
        return get_db().execute("SELECT title FROM post WHERE id = ?", (post_id,)).fetchone()["title"]

    def change(title: str) -> None:
        get_db().execute("UPDATE post SET title = ? WHERE id = ?", (title, post_id))
        get_db().commit()

    old = ctx.run_typed("look", look)
    ctx.sleep(timedelta(milliseconds=20))
    ctx.run_typed("change", change, title=f"{old}, {request.form['title']}")
    return show(post_id)
'''
LATER_TEST = '''

def test_later(ada: FlaskClient):
    """A durable view uses the application's request and database."""
    ada.post("/create", data={"title": "old"})
    assert ada.post("/later/1", data={"title": "new"}).json == {"title": "old, new"}
    assert ada.get("/").json == {"posts": ["old, new"]}
'''


def run_its_tests(folder: Path) -> str:
    """Run the project's tests; gives what pytest says at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DURABLY_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error"],
        cwd=folder,
        env={**environment, "DURABLY_URL": "memory://"},
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


def taken(project: Path) -> None:
    """Make the extension, and take the application over in the factory."""
    (project / "flaskr" / "extension.py").write_text(EXTENSION)
    change(
        project / "flaskr" / "__init__.py",
        ("from flaskr import auth", "from flaskr.extension import durably\nfrom flaskr import auth"),
        ("    return app", f"{TAKE}    return app"),
    )


def a_durable_view(project: Path) -> None:
    """Make an existing view durable as well: a decorator, and where that comes from."""
    taken(project)
    change(
        project / "flaskr" / "blog.py",
        ("from flaskr.db", "from flaskr.extension import durably\nfrom flaskr.db"),
        ("\ndef rename(", "\n@durably.endpoint\ndef rename("),
    )


def a_new_durable_view(project: Path) -> None:
    """Add a view that works in steps."""
    a_durable_view(project)
    blog = project / "flaskr" / "blog.py"
    change(
        blog,
        ("from typing", "from datetime import timedelta\nfrom typing"),
        ("from flask import", "from durably import SyncContext\nfrom flask import"),
    )
    blog.write_text(blog.read_text() + LATER)
    tests = project / "tests" / "test_flaskr.py"
    tests.write_text(tests.read_text() + LATER_TEST)


@pytest.mark.parametrize(
    ("change_it", "count"), [(untouched, 5), (taken, 5), (a_durable_view, 5), (a_new_durable_view, 6)]
)
def test_its_own_tests_pass(project: Path, change_it: Callable[[Path], None], count: int):
    """Nothing that the application promised is broken, and nothing else of it had to change."""
    change_it(project)
    assert run_its_tests(project).startswith(f"{count} passed")
    assert not list(project.glob("*.db*"))
