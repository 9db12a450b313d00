"""Which service and handler an endpoint becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durably import Service, SyncContext
from durably.endpoint import Endpoint
from durably.errors import RegistrationError
from durably.serde import JsonSerde
from durably.web.naming import EndpointOptions, Naming, function_name, service_for


def place(ctx: SyncContext) -> str:
    """Stand for an endpoint."""
    return "placed"


@pytest.mark.parametrize(
    ("options", "target", "kind"),
    [
        (EndpointOptions(), "test_naming/place", "PLAIN"),
        (EndpointOptions(service="shop", name="order"), "shop/order", "PLAIN"),
        (EndpointOptions(key="cart_id"), "test_naming_by_cart_id/place", "EXCLUSIVE"),
        (EndpointOptions(key="cart_id", shared=True), "test_naming_by_cart_id/place", "SHARED"),
        (EndpointOptions(workflow=True), "place/run", "WORKFLOW"),
    ],
)
def test_names_follow_the_options(options: EndpointOptions, target: str, kind: str):
    """The module names a service, the key an object, the function a workflow."""
    naming = Naming.of(place, options)
    assert (naming.target, naming.handler_kind.value) == (target, kind)


def register(endpoint: Endpoint, options: EndpointOptions, function: Callable[..., Any] = place) -> None:
    """Register a function as an adapter does."""
    _, put = service_for(endpoint, Naming.of(function, options), "Endpoint place")
    put(function, JsonSerde(), JsonSerde(), {})


def test_endpoints_share_a_service():
    """Several functions go into one service; two of one name are refused, with what to write instead."""
    endpoint = Endpoint()
    register(endpoint, EndpointOptions(service="shop"))
    register(endpoint, EndpointOptions(service="shop", name="other"))
    assert list(endpoint.services["shop"].handlers) == ["place", "other"]
    with pytest.raises(RegistrationError, match="there is a handler shop/place already") as refused:
        register(endpoint, EndpointOptions(service="shop"))
    assert "name='…'" in str(refused.value)


def test_a_service_of_another_is_left_alone():
    """Endpoints are not added to services that the application wrote itself."""
    endpoint = Endpoint().bind(Service("shop"))
    with pytest.raises(RegistrationError, match="there is another service of this name"):
        register(endpoint, EndpointOptions(service="shop"))


def test_callables_have_names():
    """A callable object is named after its class."""

    class Placing:
        def __call__(self) -> None:
            """Do nothing."""

    assert function_name(Placing()) == "Placing"
