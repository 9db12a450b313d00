"""What the client tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.ingress import Ingress, running_ingress


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    """A server in the place of the ingress."""
    with running_ingress() as running:
        yield running
