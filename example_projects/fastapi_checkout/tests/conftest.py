"""A shop and its outside parties, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from durably.testing.ports import free_port
from outside.effects import EffectsLog
from outside.running import Outside, run_outside
from shop.settings import Settings, get_settings

with pytest.MonkeyPatch.context() as environment:
    environment.setenv("DURABLY_URL", "memory://")  # read when the app is imported
    from shop.app import app


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Outside]:
    """A bank that answers at once, and a mail server."""
    with run_outside(Outside(free_port(), free_port(), EffectsLog(tmp_path / "effects.jsonl"))) as running:
        yield running


@pytest.fixture
def settings(world: Outside, tmp_path: Path) -> Settings:
    """Settings in which nothing takes time."""
    return Settings(
        database=f"sqlite:///{tmp_path / 'shop.db'}",
        bank_url=f"http://127.0.0.1:{world.bank_port}",
        smtp_port=world.smtp_port,
        packing=timedelta(0),
        reminder_after=timedelta(0),
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the app, which has started."""
    app.dependency_overrides[get_settings] = lambda: settings
    with TestClient(app) as client:
        yield client
    app.dependency_overrides.clear()


SignIn = Callable[..., dict[str, str]]


@pytest.fixture
def sign_in(client: TestClient) -> SignIn:
    """Open an account, and give the headers of its requests."""

    def open_account(name: str, host: str = "home.example") -> dict[str, str]:
        account = {"name": name, "email": f"{name}@{host}", "password": "correct horse"}
        assert client.post("/accounts", json=account).status_code == 201
        form = {"username": name, "password": "correct horse"}
        return {"authorization": f"Bearer {client.post('/token', data=form).json()['access_token']}"}

    return open_account


@pytest.fixture
def ada(sign_in: SignIn) -> dict[str, str]:
    """The headers of somebody who has signed in."""
    return sign_in("ada")
