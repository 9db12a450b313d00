"""Processes that are killed while they commit and send: each committed message arrives once, others never."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
KILLS: Final = int(os.environ.get("DURABLY_OUTBOX_KILLS", "8"))


def child(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a process of the project, with its databases in `folder`."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
        "PROJECT_FOLDER": str(folder),
        "PROJECT_URL": f"sqlite:///{folder / 'engine.db'}",
    }
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_committed_messages_arrive_once_whatever_is_killed(tmp_path: Path):
    """After kills at random moments every committed order has one invocation, and a rolled-back one has none."""
    migrating = child(tmp_path, "-m", "django", "migrate", "--run-syncdb", "-v", "0")
    assert migrating.communicate(timeout=60) == ("", None)
    number = 1
    chance = random.Random(7)
    for _ in range(KILLS):
        writing = child(tmp_path, "-m", "tests.django.outbox_child", "write", str(number))
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
    draining = child(tmp_path, "-m", "tests.django.outbox_child", "drain")
    draining.communicate(timeout=90)
    assert draining.returncode == 0
    orders, invocations = read(tmp_path)
    assert len(orders) > KILLS
    assert not [each for each in orders if each % 3 == 0]
    assert sorted(invocations) == sorted(orders), "a message is missing, or arrived twice"


def read(folder: Path) -> tuple[list[int], list[int]]:
    """Give the numbers of committed orders, and one number for each invocation of a message."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(folder / "project.sqlite3")) as database:
        texts = [text for (text,) in database.execute("SELECT text FROM shop_entry")]
    orders = [int(text.split()[1]) for text in texts if text.startswith("order ")]
    return orders, [int(text.split()[1]) for text in texts if text.startswith("sent ")]
