"""The engine and a real server side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.suite.binary import require_server
from tests.engine.ingress.sides import Side, both_sides


@pytest.fixture(scope="session")
def sides() -> Iterator[tuple[Side, Side]]:
    """The engine, then the real server; both live until the end of the session."""
    with both_sides(require_server()) as pair:
        yield pair
