"""The library's fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from library.main import app

ADA = {"authorization": "Bearer token-ada"}


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Give a client of a library that is open."""
    with TestClient(app, headers=ADA) as client:
        yield client
    app.dependency_overrides.clear()
