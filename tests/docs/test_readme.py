"""The README's code, run with the real frameworks."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Header
from fastapi.testclient import TestClient
from pydantic import BaseModel
from werkzeug.test import Client

from bench import frames

README = Path(__file__).resolve().parents[2] / "README.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADERS = {"content-type": frames.CONTENT_TYPE.decode()}


class Order(BaseModel):
    """What the reader's app takes."""

    card: str


class User(BaseModel):
    """Who the reader's app knows."""

    email: str


class Receipt(BaseModel):
    """What the reader's app gives."""

    order_id: str
    payment: str


class Session:
    """What the reader's app calls a database."""


def current_user(x_user: Annotated[str, Header()]) -> User:
    """Sign in."""
    return User(email=x_user)


opened: list[str] = []


def get_db() -> Iterator[Session]:
    """Open a session, and close it."""
    opened.append("opened")
    yield Session()
    opened.append("closed")


def save_order(db: Session, order_id: str, user: User, payment: str) -> None:
    """Save an order in a session that is open."""
    opened.append(f"saved {order_id}")


def stubs() -> dict[str, Any]:
    """Give what the examples take from the reader's own app."""
    return {
        "__name__": "readme",
        "timedelta": lambda **of: timedelta(0),  # nobody waits for two days
        "charge_card": lambda order: f"paid with {order.card}",
        "collect": lambda order_id="", month="": f"collected {order_id}{month}",
        "send_mail": lambda email: None,
        **{each.__name__: each for each in (Order, User, Receipt, Session, current_user, get_db, save_order)},
    }


def run_blocks(*markers: str) -> dict[str, Any]:
    """Run the blocks that hold one of the markers, in order, and give what they define."""
    namespace = stubs()
    for block in CODE.finditer(README.read_text(encoding="utf-8")):
        if any(marker in block[1] for marker in markers):
            exec(compile(block[1], "README.md", "exec"), namespace)
    return namespace


def types_of(body: bytes) -> list[int]:
    """Give the types of the messages in a response."""
    return [message_type for message_type, _ in frames.split_frames(body)]


async def over_asgi(app: Any, use: Callable[[httpx.AsyncClient], Any]) -> Any:
    """Talk to an ASGI app without a server, over what it takes for HTTP/1.1."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test") as client:
        return await use(client)


def test_the_fastapi_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The durable endpoint answers as its route says, opens a session for each step, and asks who is there."""
    monkeypatch.chdir(tmp_path)
    opened.clear()
    app = run_blocks("Durably(app)")["app"]
    with TestClient(app) as client:
        headers = {"x-user": "ada@home.example", "idempotency-key": "A-1"}
        answers = [client.post("/orders/A-1", json={"card": "4000"}, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json() == {"order_id": "A-1", "payment": "paid with 4000"}
        assert opened == ["opened", "closed", "opened", "saved A-1", "closed", "opened", "closed"]
        assert client.post("/orders/A-2", json={"card": "4000"}).status_code == 422
    assert (tmp_path / "durably.db").is_file()


def test_the_flask_app_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The durable view of a factory's app answers as it says, and the same request again is the same report."""
    monkeypatch.chdir(tmp_path)
    app = run_blocks("extension = Durably()")["create_app"]()
    headers = {"idempotency-key": "1"}
    form = {"email": "ada@home.example"}
    answers = [app.test_client().post("/reports/2026-05", data=form, headers=headers) for _ in range(2)]
    app.extensions["durably"].stop()
    assert [(each.status_code, each.get_json()) for each in answers] == [(201, {"figures": "collected 2026-05"})] * 2
    assert len({each.headers["x-durably-invocation-id"] for each in answers}) == 1
    assert (tmp_path / "durably.db").is_file()


def test_the_engine_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The engine takes an order, and the same order again is the same invocation."""
    monkeypatch.chdir(tmp_path)
    found = run_blocks('durably.Service("Checkout")')
    sent = [asyncio.run(found["main"]()) for _ in range(2)]
    assert sent[0] == sent[1]
    assert sent[0].startswith("inv_1")
    assert (tmp_path / "orders.db").is_file()


def test_the_mount_example():
    """A mounted service is discovered and called, and the app's own documentation is still there."""
    app = run_blocks('durably.Service("Checkout")', "mounted = FastAPI()")["mounted"]

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/docs")).status_code == 200
        manifest = (await client.get("/restate/discover")).json()
        assert [service["name"] for service in manifest["services"]] == ["Checkout"]
        answer = await client.post("/restate/invoke/Checkout/fulfil", content=frames.journal(b'"A-1"'), headers=HEADERS)
        assert answer.status_code == 200
        assert types_of(answer.content) == [frames.RUN, frames.PROPOSE, frames.SUSPENSION]

    asyncio.run(over_asgi(app, use))


def test_the_django_example(monkeypatch: pytest.MonkeyPatch):
    """Django keeps its own routes, and the service beside it is discovered and called."""
    import django.urls
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.test import override_settings

    def home(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"the shop")

    urls = types.ModuleType("readme_urls")
    urls.urlpatterns = [django.urls.path("", home)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "readme_urls", urls)
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="not secret")
    with override_settings(ROOT_URLCONF="readme_urls", MIDDLEWARE=[]):  # another test may have set up its project
        _serve_the_django_example()


def _serve_the_django_example() -> None:
    application = run_blocks('durably.Service("Checkout")', "get_asgi_application")["application"]

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/")).text == "the shop"
        manifest = (await client.get("/restate/discover")).json()
        assert [service["name"] for service in manifest["services"]] == ["Checkout"]
        answer = await client.post("/restate/invoke/Checkout/fulfil", content=frames.journal(b'"A-1"'), headers=HEADERS)
        assert types_of(answer.content) == [frames.RUN, frames.PROPOSE, frames.SUSPENSION]

    asyncio.run(over_asgi(application, use))


def test_the_flask_example():
    """A service with plain functions runs under WSGI beside the app's own routes."""
    app = run_blocks("import durably\n", "Flask(")["flask_app"]

    @app.get("/")
    def home() -> str:
        return "the shop"

    client = Client(app)
    assert client.get("/").text == "the shop"
    manifest = client.get("/restate/discover").json
    assert manifest is not None
    assert manifest["protocolMode"] == "REQUEST_RESPONSE"
    first = client.post("/restate/invoke/Reports/build", data=frames.journal(b'"2026-05"'), headers=HEADERS)
    assert types_of(first.data) == [frames.RUN, frames.PROPOSE, frames.SUSPENSION]
    assert b"collected 2026-05" in first.data
