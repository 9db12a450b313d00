"""Endpoints: binding services, finding handlers, and describing them for the runtime."""

from __future__ import annotations

import pytest

import durably
from durably.authoring.codec import JournalValueCodec
from durably.authoring.endpoint import protocol_mode_of
from durably.errors import ConfigurationError, RegistrationError
from durably.protocol.manifest import ProtocolMode


def test_services_are_bound_and_found() -> None:
    """Handlers are found by the two names of a request's path; anything else is None."""
    shop = durably.Service("Shop")

    @shop.handler()
    async def place(ctx: durably.Context) -> None: ...

    endpoint = durably.Endpoint().bind(shop, durably.Workflow("Signup"))

    assert list(endpoint.services) == ["Shop", "Signup"]
    assert endpoint.find("Shop", "place") is shop.handlers["place"]
    assert endpoint.find("Shop", "other") is None
    assert endpoint.find("Other", "place") is None


def test_handlers_may_be_added_after_binding() -> None:
    """Binding a service before its handlers are registered loses none of them."""
    shop = durably.Service("Shop")
    endpoint = durably.Endpoint().bind(shop)

    @shop.handler()
    async def place(ctx: durably.Context) -> None: ...

    assert endpoint.find("Shop", "place") is not None


def test_wrong_and_double_services_are_refused() -> None:
    """A name is bound once, and only services are."""
    endpoint = durably.Endpoint().bind(durably.Service("Shop"))

    with pytest.raises(RegistrationError, match="'Shop' is bound already"):
        endpoint.bind(durably.VirtualObject("Shop"))
    with pytest.raises(RegistrationError, match="is not a service"):
        endpoint.bind("Shop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_settings_chain() -> None:
    """The methods of the Python peer set what they say and give back the endpoint."""

    async def provide() -> JournalValueCodec: ...  # type: ignore[empty-body]

    endpoint = durably.Endpoint().identity_key("one").identity_key("two").set_journal_value_codec(provide)
    endpoint.map_failures({ValueError: 400})

    assert endpoint.identity_keys == ("one", "two")
    assert endpoint.journal_value_codec is provide
    assert endpoint.codec_source.is_pending
    assert getattr(endpoint.failures.find(ValueError("x")), "status_code", None) == 400
    assert endpoint.protocol_mode is None
    assert endpoint.streaming_protocol().protocol_mode is ProtocolMode.BIDI_STREAM
    assert endpoint.request_response_protocol().protocol_mode is ProtocolMode.REQUEST_RESPONSE
    assert endpoint.manifest(ProtocolMode.BIDI_STREAM).protocol_mode is ProtocolMode.REQUEST_RESPONSE
    with pytest.raises(ConfigurationError, match="'bidi' or 'request_response'"):
        protocol_mode_of("http")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
