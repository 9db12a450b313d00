"""The pages about FastAPI: their apps answer as the text says, and their tables name what there is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from durably.web.settings import Settings, read_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_CELL = re.compile(r"^\| `(\w+)`", re.MULTILINE)


@pytest.fixture
def run_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the code of a page, with an engine in memory; `changes` are made to the text first."""
    monkeypatch.setenv("DURABLY_URL", "memory://")
    monkeypatch.chdir(tmp_path)

    def run(name: str, changes: dict[str, str] | None = None) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": "page"}
        for block in CODE.finditer((DOCS / name).read_text("utf-8")):
            code = block[1]
            for old, new in (changes or {}).items():
                code = code.replace(old, new)
            exec(compile(code, name, "exec"), namespace)
        return namespace

    return run


def poll(client: TestClient, location: str) -> Any:
    """Ask for a result until there is one."""
    deadline = time.monotonic() + 10
    while (answer := client.get(location)).status_code == 202 and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def test_the_tutorial(run_page: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]):
    """What the reader sees: one charge for two requests, a 202 that leads to the receipt, a final failure, state."""
    page = run_page("tutorial/fastapi.md", {"seconds=10": "seconds=0"})
    order = {"item": "mug", "cents": 1200}
    with TestClient(page["app"]) as client:
        answers = [client.post("/orders/A-1", json=order, headers={"Idempotency-Key": "A-1"}) for _ in range(2)]
        assert [(each.status_code, each.json()["payment"]) for each in answers] == [(201, "payment-A-1")] * 2
        assert capsys.readouterr().out.count("charging 1200 cents for A-1") == 1
        accepted = client.post("/orders/A-2", json=order, headers={"Prefer": "respond-async"})
        assert accepted.status_code == 202
        assert poll(client, accepted.headers["location"]).json()["order_id"] == "A-2"
        generous = client.post("/gifts/A-3", json=order | {"cents": 10_001})
        assert (generous.status_code, generous.json()) == (402, {"detail": "that is too generous"})
        assert client.post("/carts/c/items", params={"item": "mug"}).json() == ["mug"]
        assert client.post("/carts/c/items", params={"item": "pen"}).json() == ["mug", "pen"]
        assert client.get("/carts/c").json() == ["mug", "pen"]


def test_dependencies(run_page: Callable[..., dict[str, Any]]):
    """Edge, attempt and step: each example of the page gives what it is made of, and nobody gets in unasked."""
    page = run_page("howto/fastapi-dependencies.md")
    signed = {"authorization": "Bearer valid"}
    with TestClient(page["app"]) as client:
        assert client.post("/orders", params={"item": "mug"}).status_code == 401
        placed = client.post("/orders", params={"item": "mug"}, headers=signed)
        assert placed.json() == "order 17 of ada, from north"
        assert client.post("/refunds", params={"number": 3}).json().startswith("3 in inv_1")
        assert client.get("/orders/count", headers=signed).json() == 1


def test_idempotency(run_page: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]):
    """A key gives one invocation for each user, a workflow runs once, and the client sends with a key."""
    page = run_page("howto/fastapi-idempotency.md")
    with TestClient(page["app"]) as client:
        key = {"Idempotency-Key": "6f1c"}
        found = [client.post("/orders", params={"item": item}, headers=key) for item in ("mug", "pen")]
        assert [each.json() for each in found] == ["ordered mug", "ordered mug"]
        gifts = [client.post("/gifts", params={"item": "mug"}, headers=key | {"x-user": user}) for user in "112"]
        assert [each.json() for each in gifts] == ["mug from 1", "mug from 1", "mug from 2"]
        assert len({each.headers["x-durably-invocation-id"] for each in gifts}) == 2
        accepted = client.post("/orders", params={"item": "mug"}, headers={"Prefer": "respond-async"})
        assert accepted.headers["location"].startswith("/restate/results/")
        assert accepted.headers["preference-applied"] == "respond-async"
        assert accepted.json()["status"] == "accepted"
        assert accepted.json()["invocation_id"].startswith("inv_1")
        assert poll(client, accepted.headers["location"]).json() == "ordered mug"
        assert [client.post("/signups/a@b.example").json() for _ in range(2)] == ["welcome, a@b.example"] * 2
        issues = [client.post("/newsletters/7") for _ in range(2)]
        assert [each.status_code for each in issues] == [202, 202]
        assert issues[0].json() == issues[1].json()


def test_background_tasks(run_page: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]):
    """A task runs after the answer, none runs for a request that failed, and one with steps gets what it depends on."""
    page = run_page("howto/fastapi-background-tasks.md", {"days=7": "days=0"})
    printed = ""
    with TestClient(page["app"]) as client:
        assert client.post("/accounts", params={"email": "nobody"}).status_code == 422
        assert client.post("/accounts", params={"email": "ada@home.example"}).status_code == 201
        assert client.post("/orders/A-1/invoice").status_code == 202
        assert client.post("/orders/A-1/delivered").status_code == 202
        expected = ("welcome, ada@home.example", "invoice-A-1 over smtp.example", "are you happy with A-1?")
        deadline = time.monotonic() + 10
        while not all(line in printed for line in expected) and time.monotonic() < deadline:
            printed += capsys.readouterr().out
            time.sleep(0.01)
    assert sorted(printed.splitlines()) == sorted(expected)


@pytest.mark.parametrize("name", ["test_an_order_is_paid", "test_a_gift_is_charged_once", "test_a_parcel_takes_a_week"])
def test_the_tests_of_the_page(name: str, run_page: Callable[..., dict[str, Any]]):
    """The tests that the page about testing shows pass."""
    run_page("howto/fastapi-testing.md")[name]()


def test_a_mounted_app(run_page: Callable[..., dict[str, Any]]):
    """With the lifespan of the page the outer app starts the runtime."""
    page = run_page("howto/fastapi-deployment.md")

    @page["api"].get("/id")
    @page["durably"].endpoint
    async def who() -> str:
        return "mounted"

    with TestClient(page["app"]) as client:
        assert client.get("/api/id").json() == "mounted"
        assert client.get("/api/restate/health").status_code == 200


def test_the_server_of_the_page(run_page: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    """The keywords of the page and its variables mean the same."""
    page = run_page("howto/fastapi-restate-server.md")
    text = (DOCS / "howto/fastapi-restate-server.md").read_text("utf-8")
    variables = dict(re.findall(r"^    (DURABLY_\w+)=(\S+)", text, re.MULTILINE))
    assert {"DURABLY_IDENTITY_KEYS"} <= set(variables)
    del variables["DURABLY_IDENTITY_KEYS"]
    variables["DURABLY_SECRET_KEY"] = page["durably"].settings.secret_key
    assert read_settings({}, environ=variables) == page["durably"].settings


def test_the_settings_of_the_page(run_page: Callable[..., dict[str, Any]]):
    """The table names every setting with its default, and the app of the page takes its own."""
    text = (DOCS / "reference/settings.md").read_text("utf-8")
    table = text.split("These are given as keywords only")[0]
    assert FIRST_CELL.findall(table) == [each.name for each in fields(Settings)]
    defaults = Settings()
    assert f"| `url` | `{defaults.url}` |" in table
    assert f"| `prefix` | `{defaults.prefix}` |" in table
    assert f"| `max_upload_bytes` | `{defaults.max_upload_bytes}` |" in table
    page = run_page("reference/settings.md")
    assert page["durably"].settings.url == "sqlite:///shop.db"
    with TestClient(page["create_app"]()) as client:
        assert client.get("/restate/health").status_code == 200
