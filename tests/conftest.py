"""What every test shares: the async backend and the profile of the property tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports them; their assertions are the tests'.
pytest.register_assert_rewrite(
    "tests.conformance.scenarios", "tests.conformance.suite", "tests.engine.operating.sites", "tests.engine.suite"
)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `async def` tests on asyncio, which is what the handlers run on."""
    return "asyncio"
