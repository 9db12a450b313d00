"""Services: their names, their handlers' names, and values that hold for all handlers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import durably
from durably.authoring.handlers import handler_of
from durably.errors import RegistrationError


def test_two_handlers_of_one_name() -> None:
    """The second handler of a name is refused."""
    service = durably.Service("Shop")

    @service.handler()
    async def place(ctx: durably.Context) -> None: ...

    with pytest.raises(RegistrationError, match="Handler Shop/place already exists"):
        service.handler(name="place")(_other)


async def _other(ctx: durably.Context) -> None: ...


def test_a_decorator_without_parentheses() -> None:
    """`@service.handler` in place of `@service.handler()` is recognised."""
    with pytest.raises(RegistrationError, match="without parentheses"):
        durably.Service("Shop").handler(_other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["", "a b", "-a", "_", "restate", "RestateThing", "openapi", "a/b", "ä"])
def test_service_names_that_the_runtime_refuses(name: str) -> None:
    """A service's name is checked here, not at discovery; reserved beginnings too."""
    for kind in (durably.Service, durably.VirtualObject, durably.Workflow):
        with pytest.raises(RegistrationError, match="cannot be the name of a service"):
            kind(name)


def test_service_values_hold_until_a_handler_says_otherwise() -> None:
    """Failure maps and context managers are joined, cancellation is overridden, privacy cannot be undone."""

    def outer() -> Any: ...
    def inner() -> Any: ...

    service = durably.Service(
        "Shop",
        invocation_context_managers=[outer],
        failures={ValueError: 400, KeyError: 404},
        explicit_cancellation=True,
        ingress_private=True,
    )

    @service.handler(invocation_context_managers=[inner], failures={KeyError: 410}, explicit_cancellation=False)
    async def place(ctx: durably.Context) -> None: ...
    @service.handler()
    async def cancel(ctx: durably.Context) -> None: ...

    placed, cancelled = handler_of(place), handler_of(cancel)
    assert placed.context_managers == (outer, inner)
    assert (placed.explicit_cancellation, cancelled.explicit_cancellation) == (False, True)
    statuses = [getattr(placed.failures.find(error), "status_code", None) for error in (ValueError(), KeyError())]
    assert statuses == [400, 410]
    with pytest.raises(RegistrationError, match="is public, but its service is private"):
        service.handler(name="open", ingress_private=False)(_other)


def test_things_say_what_they_are() -> None:
    """Services and handlers have a readable repr."""
    service = durably.Service("Shop", "A shop", {"team": "a"}, timedelta(seconds=1))

    assert repr(service) == "<Service Shop: no handlers>"
    handler = handler_of(service.handler(metadata={"x": "y"})(_other))
    assert (repr(service), repr(handler)) == ("<Service Shop: _other>", "<Handler Shop/_other>")
    assert (service.metadata, handler.metadata) == ({"team": "a"}, {"x": "y"})
