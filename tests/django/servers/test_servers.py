"""The same project on every web server, on the embedded engine and a real Restate Server, on SQLite and PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from durably.testing.server import RestateServer
from tests.django.servers.sites import KINDS, Kind, Site, migrated_file


@pytest.fixture(scope="module")
def restate() -> Iterator[Callable[[], RestateServer]]:
    """Give the Restate Server, started when the first site asks for it."""
    started: list[RestateServer] = []

    def start() -> RestateServer:
        if not started:
            server = RestateServer()
            server.start()
            started.append(server)
        return started[0]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def tables_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a SQLite file with the tables of the project."""
    return migrated_file(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    restate: Callable[[], RestateServer],
) -> Iterator[Site]:
    """Give a site that runs."""
    kind: Kind = request.param
    tables = request.getfixturevalue("postgres" if kind.database == "postgres" else "tables_file")
    made = Site(kind, tmp_path_factory.mktemp(str(kind)), restate() if kind.runtime == "restate" else None, tables)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def until(find: Callable[[], Any], bound_s: float = 15) -> Any:
    """Wait for something, and give it."""
    deadline_s = time.monotonic() + bound_s
    while not (found := find()):
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)
    return found


def test_views_of_both_colours_answer(site: Site):
    """`def` and `async def` views, functions and methods, run their steps once and answer."""
    with site.client() as client:
        for path in ("/steps/a/", "/async/b/"):
            answer = client.post(path)
            assert (answer.status_code, answer.json()) == (200, {"count": 1})
            assert answer.headers["x-durably-invocation-id"].startswith("inv_")
        assert client.post("/async-methods/7/").json() == {"doubled": 14}
        assert client.post("/decorated/5/").json() == {"greeting": "hello", "number": 5}
        assert client.get("/methods/5/").json() == {"plain": 5}
        assert client.post(f"/add/{site.kind}/").json()["count"] == 1
        assert client.post(f"/add/{site.kind}/").json()["count"] == 2


def test_failures_keep_their_status(site: Site):
    """What a view raises comes out as without durability."""
    with site.client() as client:
        statuses = [client.post(f"/fail/{how}/").status_code for how in ("missing", "denied", "bad", "terminal")]
    assert statuses == [404, 403, 400, 409]


def test_a_call_waits_for_an_answer_from_outside(site: Site):
    """A workflow waits, whoever serves; a plain view answers it, and the caller who comes back gets the result."""
    with site.client() as client:
        accepted = client.post(f"/approve/{site.kind}/", headers={"Prefer": "respond-async"})
        assert accepted.status_code == 202, accepted.text
        asked = until(lambda: client.get("/entries/asked/").json())
        assert client.post(f"/tell/{asked[0].split()[-1]}/").status_code == 200
        location = accepted.headers["location"]
        until(lambda: client.get(location).status_code == 200)
        assert client.get(location).json() == {"answer": "yes"}


def test_database_code_keeps_its_thread_and_its_transactions(site: Site):
    """Code that is bound to a thread stays on one; nested, durable and partly undone transactions do what they say."""
    with site.client() as client:
        said = client.post("/threads/").json()
    assert said == {"one thread": True, "stored": ["blocks between", "blocks inner", "blocks outer"]}


def test_messages_leave_with_their_transaction(site: Site):
    """Whichever process committed, the message arrives once; what was rolled back never does."""
    names = [f"{kind}{number}" for number in range(8) for kind in ("kept", "refused")]
    with site.client() as client, ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(lambda name: client.post(f"/checkout/{name}/"), names)} == {
            200
        }
        until(lambda: len(client.get("/entries/sold/").json()) >= 8)
        sold = [text.split()[1] for text in client.get("/entries/sold/").json()]
    assert sorted(sold) == sorted(name for name in names if name.startswith("kept"))


def test_streams_where_the_server_can(site: Site, restate: Callable[[], RestateServer]):
    """On HTTP/2 servers the layer around Django streams; elsewhere each wait is a request of its own."""
    if site.kind.runtime == "embedded":
        with site.client() as client:
            assert client.get("/restate/discover").status_code == 404, "the engine calls in process"
        return
    answer = httpx.get(f"{restate().admin_url}/deployments", trust_env=False, verify=False)
    mine = [each for each in answer.json()["deployments"] if each["uri"].rstrip("/") == site.address]
    assert [each["protocol_type"] for each in mine] == [
        "BidiStream" if site.kind.server in ("hypercorn", "granian") else "RequestResponse"
    ]


def test_one_runtime_and_an_orderly_end(site: Site):
    """The reloader's parent has no engine; a server that is asked to stop is gone in time."""
    if site.kind.runtime == "embedded":
        assert site.engines() >= 1
        if site.kind.server == "runserver":
            assert site.engines() == 1
    assert site.stop() < 12
