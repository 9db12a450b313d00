"""Processes that are killed while they commit and send: each committed message arrives once, others never."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.django.postgres import PostgresServer

ROOT: Final = Path(__file__).parents[2]
KILLS: Final = int(os.environ.get("DURABLY_OUTBOX_KILLS", "5"))


class Place:
    """Where processes of the project run, and what they have left behind."""

    def __init__(self, folder: Path, postgres: PostgresServer | None) -> None:
        """Use a file in `folder`, or a database of its own on the server."""
        self._folder = folder
        self._postgres = postgres
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
            "PROJECT_FOLDER": str(folder),
            "PROJECT_URL": f"sqlite:///{folder / 'engine.db'}",
        }
        if postgres is None:
            migrating = self.child("-m", "django", "migrate", "--run-syncdb", "-v", "0")
            assert migrating.communicate(timeout=60) == ("", None)
        else:
            self._name = postgres.copy()
            self._environment |= postgres.environment(self._name)

    def child(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a process of the project."""
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, text=True)

    def read(self) -> tuple[list[int], list[int]]:
        """Give the numbers of committed orders, and one number for each invocation of a message."""
        statement = "SELECT text FROM shop_entry"
        if self._postgres is not None:
            rows = self._postgres.ask(statement, database=self._name)
        else:
            with closing(sqlite3.connect(self._folder / "project.sqlite3")) as database:
                rows = database.execute(statement).fetchall()
        texts = [str(text) for (text,) in rows]
        orders = [int(text.split()[1]) for text in texts if text.startswith("order ")]
        return orders, [int(text.split()[1]) for text in texts if text.startswith("sent ")]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place on either database."""
    return Place(tmp_path, request.getfixturevalue("postgres") if request.param == "postgres" else None)


def test_committed_messages_arrive_once_whatever_is_killed(place: Place):
    """After kills at random moments every committed order has one invocation, and a rolled-back one has none."""
    number = 1
    chance = random.Random(7)
    for _ in range(KILLS):
        writing = place.child("-m", "tests.django.outbox_child", "write", str(number))
        assert writing.stdout is not None
        first = writing.stdout.readline()
        assert first, "the child did not start"
        killing = threading.Timer(chance.uniform(0, 0.15), lambda process=writing: process.send_signal(signal.SIGKILL))
        killing.start()
        with writing.stdout:
            lines = [first, *writing.stdout]
        writing.wait(10)
        killing.join()
        number = int(lines[-1]) + 2  # the next one may have been committed without being said
    draining = place.child("-m", "tests.django.outbox_child", "drain")
    draining.communicate(timeout=90 + 3 * KILLS)  # ends itself when nothing moves any more
    assert draining.returncode == 0
    orders, invocations = place.read()
    assert len(orders) > KILLS
    assert not [each for each in orders if each % 3 == 0]
    assert sorted(invocations) == sorted(orders), "a message is missing, or arrived twice"
