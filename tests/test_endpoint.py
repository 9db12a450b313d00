"""Applications made of services."""

from __future__ import annotations

import pytest

import durably
from durably.errors import ConfigurationError
from durably.hosting.asgi import AsgiApp
from durably.hosting.wsgi import WsgiApp
from durably.machine import MachineOptions


def test_applications() -> None:
    """`durably.app` and `durably.wsgi_app` take the same settings and make the two kinds of application."""
    shop = durably.Service("Shop")
    options = MachineOptions(check_payloads=False)

    app = durably.app([shop], "bidi", [], failures={ValueError: 400}, machine_options=options)
    wsgi = durably.wsgi_app([shop], hosting=durably.HostingOptions(threads=1))

    assert isinstance(app, AsgiApp)
    assert isinstance(wsgi, WsgiApp)
    assert isinstance(durably.Endpoint().bind(shop).app(), AsgiApp)
    assert isinstance(durably.Endpoint().bind(shop).wsgi_app(), WsgiApp)
    with pytest.raises(ConfigurationError, match="starts with `publickeyv1_`"):
        durably.app([shop], identity_keys=["key"])
    with pytest.raises(ConfigurationError, match=r"identity_keys=\[key\]"):
        durably.app([shop], identity_keys="publickeyv1_x")
    with pytest.raises(ConfigurationError, match="'bidi' or 'request_response'"):
        durably.app([shop], protocol="h2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
