"""The pages about Flask: their apps answer as the text says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from durably.web.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RunPage = Callable[..., dict[str, Any]]


@pytest.fixture
def run_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunPage]:
    """Run the code of a page, with an engine in memory; `changes` are made to the text first."""
    monkeypatch.setenv("DURABLY_URL", "memory://")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}

    def run(name: str, changes: dict[str, str] | None = None) -> dict[str, Any]:
        for block in CODE.finditer((DOCS / name).read_text("utf-8")):
            code = block[1]
            for old, new in (changes or {}).items():
                code = code.replace(old, new)
            exec(compile(code, name, "exec"), namespace)
        return namespace

    yield run
    for app in [each for each in namespace.values() if isinstance(each, Flask)]:
        app.extensions["durably"].stop()


def client_of(page: dict[str, Any]) -> FlaskClient:
    """Make the page's application."""
    page["made"] = page["create_app"]()
    return page["made"].test_client()


def test_the_tutorial(run_page: RunPage, capsys: pytest.CaptureFixture[str]):
    """What the reader sees: one charge for two requests, a 202 that leads to the receipt, a final failure, state."""
    client = client_of(run_page("tutorial/flask.md", {"seconds=10": "seconds=0"}))
    order = {"item": "mug", "cents": 1200}
    answers = [client.post("/orders/A-1", json=order, headers={"Idempotency-Key": "A-1"}) for _ in range(2)]
    assert [(each.status_code, each.get_json()["payment"]) for each in answers] == [(201, "payment-A-1")] * 2
    assert capsys.readouterr().out.count("charging 1200 cents for A-1") == 1
    accepted = client.post("/orders/A-2", json=order, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    deadline = time.monotonic() + 10
    while (found := client.get(accepted.headers["Location"])).status_code == 202 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (found.status_code, found.get_json()["order_id"]) == (201, "A-2")
    generous = client.post("/gifts/A-3", json=order | {"cents": 10_001})
    assert (generous.status_code, "that is too generous" in generous.text) == (422, True)
    assert client.post("/carts/c/items", data={"item": "mug"}).get_json() == ["mug"]
    assert client.post("/carts/c/items", data={"item": "pen"}).get_json() == ["mug", "pen"]
    assert client.get("/carts/c").get_json() == ["mug", "pen"]


def test_views_and_services(run_page: RunPage):
    """Each view of the page answers as it says, with and without somebody who is logged in."""
    page = run_page("howto/flask.md")
    client = client_of(page)
    stranger = page["made"].test_client()
    client.post("/login/ada")
    placed = client.post("/orders/3", json={"item": "mug"})
    assert (placed.status_code, placed.headers["X-Items"]) == (201, "1")
    assert placed.get_json() == {"number": 3, "receipt": "mug for ada in page"}
    assert client.get("/me").get_json() == {"identity": "ada", "user": "ada"}
    assert stranger.get("/me").get_json() == {"identity": None, "user": None}
    sold = client.post("/rare/tea")
    assert (sold.status_code, sold.get_json()) == (409, {"sold out": "tea"})
    assert [client.post("/carts/a").status_code for _ in range(3)] == [200, 200, 422]
    assert [client.post("/shelves/a", data={"number": "2"}).get_json() for _ in range(2)] == [
        {"total": 2},
        {"total": 4},
    ]
    assert {"stock", "shelves", "page", "page_by_cart_id"} == set(page["durably"].services)


def test_the_hooks_of_servers(run_page: RunPage):
    """The layer for ASGI is around the app of the page, and the hooks are functions that servers call."""
    page = run_page("howto/flask-deployment.md")
    assert page["application"].link.settings.url == "memory://"
    assert callable(page["post_worker_init"])


@pytest.mark.parametrize("name", ["test_an_order_is_paid", "test_a_parcel_takes_a_week"])
def test_the_tests_of_the_page(name: str, run_page: RunPage):
    """The tests that the page about testing shows pass."""
    run_page("howto/flask-testing.md")[name]()


def test_the_settings_of_flask(run_page: RunPage):
    """What the page sets in `app.config` is what the runtime gets, for each app of the factory."""
    page = run_page("reference/settings.md")
    settings: Settings = page["flask_app"].extensions["durably"].settings
    assert (settings.url, settings.prefix, settings.max_upload_bytes) == ("sqlite:///reports.db", "/runtime", 4194304)
