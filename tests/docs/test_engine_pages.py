"""The pages about the embedded engine keep their word: what they show is run, what they list is all there is."""

from __future__ import annotations

import asyncio
import atexit
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from werkzeug.test import Client

from durably import EngineOptions
from durably.engine.query.views import VIEWS
from durably.engine.records import Limits, RetryPolicy, Status

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SQL = re.compile(r'{"query": "(.*?)"}\'$', re.MULTILINE)
ROW = re.compile(r"^\| (`[a-z_`, -]+`) \|", re.MULTILINE)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Run the code of the page about the engine in an app, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return run_page("embedded-engine.md")


def run_page(name: str) -> dict[str, Any]:
    """Run the blocks of a page, one after the other."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in CODE.finditer((HOWTO / name).read_text(encoding="utf-8")):
        exec(compile(block[1], name, "exec"), namespace)
    return namespace


@asynccontextmanager
async def visitor(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client on this machine of an app that has started."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


async def eventually(ask: Callable[[], Any], accepts: Callable[[Any], bool]) -> Any:
    """Ask until the answer is accepted."""
    async with asyncio.timeout(10):
        while not accepts(answer := await ask()):  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.01)
    return answer


async def query(client: httpx.AsyncClient, path: str, sql: str) -> list[dict[str, Any]]:
    """Ask the admin API."""
    answer = await client.post(path, json={"query": sql}, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


async def test_the_app_with_an_engine(embedded: dict[str, Any]):
    """The routes of the page take an order, its invocation sleeps, and a second request with its number is the same."""
    app = embedded["app"]
    async with embedded["lifespan"](app), visitor(app) as client:
        sent = [await client.post("/orders/A-1") for _ in range(2)]
        assert [answer.status_code for answer in sent] == [202, 202]
        assert sent[0].json() == sent[1].json()
        rows = await eventually(
            lambda: query(client, "/internal/admin/query", "SELECT id FROM sys_journal WHERE name = 'charge'"), bool
        )
        assert {row["id"] for row in rows} == {sent[0].json()}
    assert Path("durably.db").is_file()  # noqa: ASYNC240 - nothing else runs


async def test_who_is_let_in(embedded: dict[str, Any]):
    """The mounted APIs answer this machine under its own name, and others with the token only."""
    app = embedded["app"]
    token = {"authorization": "Bearer sC4b-vEr8TqLm2Ny6wXz"}
    async with embedded["lifespan"](app), visitor(app) as client:
        assert (await client.get("/internal/call/restate/health")).status_code == 200
        strange = await client.get("/internal/call/restate/health", headers={"host": "shop.example"})
        assert strange.status_code == 403
        assert (await client.post("/public/call/Checkout/place/send", json="A-2")).status_code == 401
        invited = await client.post("/public/call/Checkout/place/send", json="A-2", headers=token)
        assert invited.status_code == 202
        for path in ("/restate/discover", "/restate/invoke/Checkout/place"):
            assert (await client.post(path)).status_code == 404


async def test_the_test_of_the_page(embedded: dict[str, Any]):
    """Two days pass at once on the test's own clock."""
    await embedded["test_the_receipt_comes_after_two_days"]()


def test_the_app_that_blocks(embedded: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """A Flask route calls a `def` handler, and leaving the process stops the engine."""
    ends: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", ends.append)
    app = embedded["create_app"]()
    assert Client(app).post("/reports/2026-05").text == "report 2026-05"
    for end in ends:
        end()


async def test_the_queries_of_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Each query that the page about operations shows is answered."""
    monkeypatch.chdir(tmp_path)
    page = run_page("operations.md")
    queries = [sql.replace("'\"'", "'") for sql in SQL.findall((HOWTO / "operations.md").read_text("utf-8"))]
    assert len(queries) >= 2
    async with page["engine"], visitor(page["admin"]) as client:
        for sql in queries:
            assert await query(client, "/query", sql) == []


async def test_the_changes_of_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Every operation of the table is there, and the order of the page works: pause, resume, cancel, again, forget."""
    monkeypatch.chdir(tmp_path)
    page = run_page("operations.md")
    operations = re.findall(r"`PATCH /invocations/\{id\}/([a-z-]+)`", (HOWTO / "operations.md").read_text("utf-8"))
    assert operations == ["cancel", "kill", "pause", "resume", "restart-as-new", "purge"]
    async with page["engine"] as engine, visitor(page["admin"]) as client:
        assert await engine.client().call(page["pay"], "4000") == "charged 4000"
        [row] = await query(client, "/query", "SELECT id FROM sys_invocation")
        path = f"/invocations/{row['id']}"
        assert {(await client.patch(f"{path}/{name}")).status_code for name in operations[:4]} == {409}
        again = await client.patch(f"{path}/restart-as-new")
        assert again.json()["new_invocation_id"] != row["id"]
        assert (await client.patch(f"{path}/purge")).status_code == 200
        batch = {"invocation_ids": [again.json()["new_invocation_id"]]}
        answer = await client.post("/internal/invocations_batch_operations/resume", json=batch)
        assert answer.status_code == 200


def test_the_tables_are_complete():
    """The page names every view, and every status that an invocation can have."""
    text = (HOWTO / "operations.md").read_text("utf-8")
    named = {name for cell in ROW.findall(text) for name in re.findall(r"`([a-z_-]+)`", cell)}
    less_detailed = {"sys_invocation_status", "sys_invocation_state"}  # columns of sys_invocation
    assert set(VIEWS) - less_detailed <= named
    assert {status.value for status in Status} <= named
    assert named <= set(VIEWS) | {status.value for status in Status}


def test_the_defaults_of_the_pages():
    """The figures that the pages give are those of the code."""
    options, retries, limits = EngineOptions(), RetryPolicy(), Limits()
    day_ms = 24 * 60 * 60 * 1000
    assert (retries.initial_interval_ms, retries.factor, retries.max_interval_ms) == (500, 2.0, 60_000)
    assert (retries.max_attempts, retries.on_max_attempts.name) == (70, "PAUSE")
    assert (options.inactivity_timeout_ms, options.abort_timeout_ms) == (60_000, 600_000)
    kept = (options.journal_retention_ms, options.idempotency_retention_ms, options.workflow_retention_ms)
    assert kept == (day_ms, day_ms, day_ms)
    assert (limits.body_bytes, limits.message_bytes, limits.header_bytes) == (32 << 20, 32 << 20, 64 << 10)
    assert (limits.header_count, limits.journal_entries, limits.attempts_in_flight) == (100, 100_000, 1000)


def test_the_command_of_the_page():
    """The arguments that the page names are there, and listening for others needs a token."""
    command = [sys.executable, "-m", "durably", "engine"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    named = re.findall(r"--[a-z][a-z-]*", (HOWTO / "embedded-engine.md").read_text("utf-8"))
    assert {"--db", "--host", "--allow-network"} <= set(named)
    assert [
        option for option in named if option not in {*re.findall(r"--[a-z][a-z-]*", shown), "--preload", "--json"}
    ] == []
    refused = subprocess.run(
        [*command, "--host", "0.0.0.0", "--db", ":memory:"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": ""},
    )
    assert refused.returncode == 1
    assert "DURABLY_TOKEN" in refused.stderr


def test_the_state_of_the_page_is_json():
    """The example of new state is a JSON object of byte arrays, and means what the page says."""
    text = (HOWTO / "operations.md").read_text("utf-8")
    [body] = re.findall(r"services/Cart/state --json '(.*)'", text)
    assert bytes(json.loads(body)["new_state"]["items"]) == b"[]"
