"""The options of a client: what cannot work is refused, and httpx gets what was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durably.client import ClientOptions
from durably.client.transport import client_settings
from durably.errors import ConfigurationError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attempts": 0}, "at least once"),
        ({"delay_factor": 0.5}, "do not get shorter"),
        ({"max_retry_after": timedelta(seconds=-1)}, "negative"),
        ({"max_connections": 0}, "at least one connection"),
        ({"max_idle_connections": -1}, "negative"),
    ],
)
def test_options_that_cannot_work(wrong: dict[str, Any], message: str) -> None:
    """A number out of its range is refused where it is written, and named."""
    with pytest.raises(ConfigurationError, match=message):
        ClientOptions(**wrong)


def test_connections() -> None:
    """The pool is as large as asked for."""
    options = ClientOptions(max_connections=7, max_idle_connections=3, idle_expiry=timedelta(seconds=9))
    limits = client_settings("http://localhost:8080", None, options)["limits"]

    assert (limits.max_connections, limits.max_keepalive_connections, limits.keepalive_expiry) == (7, 3, 9.0)
