"""Many callers who wait, on gunicorn workers that serve one request at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from durably.testing.server import RestateServer
from tests.django.servers.sites import SYNC_WORKERS, Kind, Site, migrated_file

CALLERS = 100


@pytest.fixture(scope="module", params=["embedded", "restate"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a site with four such workers; with the embedded engine the project is loaded before they are forked."""
    folder = tmp_path_factory.mktemp(request.param)
    restate = RestateServer() if request.param == "restate" else None
    if restate is not None:
        restate.start()
    kind = Kind(request.param, "gunicorn", "sqlite")
    command = SYNC_WORKERS if restate is not None else (*SYNC_WORKERS, "--preload")
    made = Site(kind, folder, restate, migrated_file(tmp_path_factory.mktemp("tables")), command)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        if restate is not None:
            restate.stop()


def test_callers_who_wait_do_not_hold_workers(site: Site):
    """A hundred callers wait for answers that a further call gives; all are answered through the middleware."""
    with site.client() as client, site.client() as waiting, ThreadPoolExecutor(CALLERS) as pool:

        def ask(number: int) -> httpx.Response:
            return waiting.post(f"/approve/{number}/", timeout=60)

        asked = [pool.submit(ask, number) for number in range(CALLERS)]
        deadline_s = time.monotonic() + 40
        answered: set[Any] = set()
        while len(answered) < CALLERS and time.monotonic() < deadline_s:
            for text in set(client.get("/entries/asked/").json()) - answered:
                assert client.post(f"/tell/{text.split()[-1]}/").status_code == 200
                answered.add(text)
        answers = [each.result(60) for each in asked]
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"answer": "yes"})] * CALLERS
    assert all(each.headers["x-content-type-options"] == "nosniff" for each in answers)


def test_loading_before_the_fork_starts_no_engine_there(site: Site):
    """With `--preload` the engine runs in the workers, at once, and not in the process that forks them."""
    if site.kind.runtime == "embedded":
        assert site.engines() >= 1
        assert not site.has_engine_before_fork
