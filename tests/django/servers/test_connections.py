"""Many invocations that wait, on a PostgreSQL server with few connections."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from durably.testing.server import RestateServer
from tests.django.servers.sites import Kind, Site

if TYPE_CHECKING:
    from tests.django.postgres import PostgresServer

OWNER = "shop"

WAITING = 200
COLOURS = ("sync", "async")
LIMIT = 9
"""Of the ten of the server, one is taken by who looks."""

# Connections of handlers in one process: gunicorn has four, each with one more for what asynchronous handlers share.
SITES = {
    Kind("embedded", "gunicorn", "postgres"): "4",
    Kind("restate", "hypercorn", "postgres"): "6",
}
if os.environ.get("DURABLY_ALL_SITES"):
    SITES |= {
        Kind("embedded", "uvicorn", "postgres"): "6",
        Kind("restate", "gunicorn", "postgres"): "1",
    }


class Watcher(threading.Thread):
    """Counts the project's connections again and again, over one connection of its own.

    Attributes:
        most: The most that were seen.
        samples: How often it has looked.
    """

    def __init__(self, server: PostgresServer, database: str) -> None:
        super().__init__(daemon=True)
        self._session = server.session(database)
        self._over = threading.Event()
        self.most = 0
        self.samples = 0

    def ask(self, statement: str) -> int:
        """Give the number that a statement selects."""
        row = self._session.execute(statement).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return int(row[0])

    def open_now(self) -> int:
        """Count the project's connections."""
        return self.ask(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{OWNER}'")

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, self.open_now())
            self.samples += 1

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._session.close()


@pytest.fixture(scope="module", params=SITES, ids=str)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, small_postgres: PostgresServer
) -> Iterator[Site]:
    """Give a site that runs on a database of `small_postgres`."""
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp(str(kind))
    restate = RestateServer() if kind.runtime == "restate" else None
    if restate is not None:
        restate.start()
    made = Site(kind, folder, restate, small_postgres, PROJECT_MAX_CONNECTIONS=SITES[kind])
    made.start()
    try:
        yield made
    finally:
        made.stop()
        if restate is not None:
            restate.stop()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def test_many_that_wait_stay_below_the_limit(site: Site, small_postgres: PostgresServer):
    """Two hundred invocations use the database, wait together, and go on together; no connection is refused."""
    refused = len(small_postgres.refusals())
    watcher = Watcher(small_postgres, str(site.database_name))

    def stored(what: str) -> int:
        return watcher.ask(f"SELECT count(*) FROM shop_entry WHERE text LIKE '% {what}%'")

    watcher.start()
    try:
        with site.client() as client:
            for colour in COLOURS:
                assert client.post(f"/begin/{colour}/{WAITING // len(COLOURS)}/").status_code == 200
            until(lambda: stored("waits") >= WAITING, "they did not get to wait")
            until(lambda: watcher.open_now() == 0, "connections are held while all wait")
            for colour in COLOURS:
                assert client.post(f"/answer/{colour}/").status_code == 200
            until(lambda: stored("ended") >= WAITING, "they did not end")
        assert (stored("waits"), stored("ended")) == (WAITING, WAITING), "a step ran twice"
    finally:
        watcher.stop()
    assert watcher.samples > 10
    assert watcher.most <= LIMIT
    assert small_postgres.refusals()[refused:] == []
