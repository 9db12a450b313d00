"""A site that is killed while it runs tasks: each task that was enqueued runs to its end, once the site is back."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from durably.testing.server import RestateServer
from tests.django.servers.sites import ROOT, Kind, Site, migrated_file

KILLS: Final = int(os.environ.get("DURABLY_TASK_KILLS", "1"))
TASKS: Final = 12  # enqueued before each kill, at most


class KilledSite(Site):
    """A site whose processes can all be killed at once."""

    def kill(self) -> None:
        """Send SIGKILL to the master and all workers, the master first so that it starts no others."""
        process, self._process = self._process, None
        assert process is not None
        parent = psutil.Process(process.pid)
        parent.suspend()
        family = [*parent.children(recursive=True), parent]
        for each in family:
            each.kill()
        process.wait(10)
        psutil.wait_procs(family, 10)
        assert self._log is not None
        self._log.close()

    def results(self, ids: list[str]) -> list[tuple[str, str | None, int]]:
        """Look results up in a process of its own."""
        command = [sys.executable, "-m", "tests.django.task_results", *ids]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60
        )
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]

    def entries(self, beginning: str) -> list[str]:
        """Give the entries that begin with a word, without it."""
        with closing(sqlite3.connect(self.folder / "project.sqlite3")) as database:
            texts = [text for (text,) in database.execute("SELECT text FROM shop_entry")]
        return [text.removeprefix(beginning) for text in texts if text.startswith(beginning)]

    def release_claims(self) -> None:
        """Let the next process take what the killed one had claimed in the outbox; else that takes half a minute."""
        with closing(sqlite3.connect(self.folder / "project.sqlite3")) as database, database:
            database.execute("UPDATE durably_outboxmessage SET due_at = '2020-01-01 00:00:00'")


@pytest.fixture(params=["embedded", "restate"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KilledSite]:
    """Give a site under gunicorn, on either runtime."""
    tables = migrated_file(tmp_path_factory.mktemp("tables"))
    server = RestateServer() if request.param == "restate" else None
    if server is not None:
        server.start()
    made = KilledSite(Kind(request.param, "gunicorn"), tmp_path, server, tables)
    try:
        yield made
    finally:
        made.stop()
        if server is not None:
            server.stop()


def test_tasks_survive_their_processes(site: KilledSite):
    """Tasks enqueued before, and running during, kills of all processes end SUCCESSFUL; another process reads them."""
    chance = random.Random(11)
    ids: dict[str, str] = {}

    def enqueue(name: str) -> None:
        try:
            with site.client() as client:
                answer = client.post(f"/enqueue/{name}/")
        except httpx.TransportError:
            return  # killed before it answered: it was committed, or it was not
        ids[name] = answer.json()["id"]

    for kill in range(KILLS):
        site.start()
        killing = threading.Timer(chance.uniform(0.05, 0.3), site.kill)
        killing.start()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(enqueue, [f"{kill}-{number}" for number in range(TASKS)]))
        killing.join()
    assert len(ids) >= KILLS, "too little was enqueued between the kills"
    interrupted = set(site.entries("begun ")) - set(site.entries("shipped "))
    site.release_claims()
    site.start()
    orders = set(site.entries("order "))
    assert set(ids) <= orders
    deadline_s = time.monotonic() + 60
    while set(site.entries("shipped ")) != orders:
        assert time.monotonic() < deadline_s, f"not shipped: {orders - set(site.entries('shipped '))}"
        time.sleep(0.05)
    ended = dict(zip(ids, until_finished(site, list(ids.values())), strict=True))
    assert {name: (status, value) for name, (status, value, _) in ended.items()} == {
        name: ("SUCCESSFUL", name) for name in ids
    }
    assert all(ended[name][2] >= 2 for name in interrupted & set(ids)), "a task that was interrupted counts twice"


def until_finished(site: KilledSite, ids: list[str]) -> list[tuple[str, str | None, int]]:
    """Look results up until none is running: the last entry of a task comes before its end."""
    deadline_s = time.monotonic() + 30
    while True:
        found = site.results(ids)
        if all(status in ("SUCCESSFUL", "FAILED") for status, _, _ in found):
            return found
        assert time.monotonic() < deadline_s, found
