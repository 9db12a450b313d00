"""The limits that services and operators rely on."""

from __future__ import annotations

from durably.engine.transport.options import HttpOptions


def test_the_documented_figures_are_the_defaults():
    """Timeouts and counts are those of the protocol document; new connections come before servers' own limits."""
    options = HttpOptions()
    assert (options.connect_timeout_s, options.ping_interval_s, options.ping_timeout_s) == (10, 40, 20)
    assert (options.idle_timeout_s, options.max_streams) == (300, 128)
    assert options.max_requests < 1000
    assert options.addresses.allow_loopback
    assert options.addresses.allowed_networks == ()
