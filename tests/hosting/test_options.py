"""The bounds of the hosting settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durably.errors import ConfigurationError
from durably.hosting.options import HostingOptions, Unsigned


def test_defaults_work():
    """Nothing has to be set; unsigned requests are accepted with a warning, as the peer accepts them."""
    options = HostingOptions()
    assert options.mode is None
    assert options.unsigned is Unsigned.WARN
    assert 1 <= options.threads <= 32


@pytest.mark.parametrize(
    ("name", "value"),
    [("threads", 0), ("threads", -1), ("shutdown_grace", timedelta(seconds=-1)), ("blocked_after", timedelta(0))],
)
def test_values_that_cannot_work_are_refused_by_name(name: str, value: Any):
    """A wrong number is found when the application is built, and the message names the setting."""
    with pytest.raises(ConfigurationError, match=name):
        HostingOptions(**{name: value})


def test_the_watchdog_can_be_switched_off():
    """None is a legal threshold: it means never."""
    assert HostingOptions(blocked_after=None).blocked_after is None
