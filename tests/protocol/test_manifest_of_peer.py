"""The manifest of an endpoint agrees, as JSON, with what restate-sdk writes for the same endpoint."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import restate
from restate.discovery import compute_discovery_json
from restate.endpoint import Endpoint

from durably.protocol.manifest import (
    EndpointManifest,
    HandlerManifest,
    HandlerType,
    InputDescriptor,
    ManifestVersion,
    OnMaxAttempts,
    OutputDescriptor,
    ProtocolMode,
    RetryPolicyManifest,
    ServiceManifest,
    ServiceType,
    render_manifest,
)

ANY_SCHEMA: dict[str, Any] = {"type": "string"}


def peer_endpoint(version: ManifestVersion) -> Any:
    """Build an endpoint that uses whatever the version knows, with the other SDK."""
    options: dict[str, Any] = {}
    if version >= ManifestVersion.V3:
        options |= {
            "inactivity_timeout": timedelta(seconds=3),
            "abort_timeout": timedelta(seconds=4),
            "journal_retention": timedelta(hours=5),
            "idempotency_retention": timedelta(days=6),
            "ingress_private": True,
        }
    if version >= ManifestVersion.V4:
        options["invocation_retry_policy"] = restate.InvocationRetryPolicy(
            initial_interval=timedelta(milliseconds=100),
            max_interval=timedelta(seconds=10),
            max_attempts=7,
            exponentiation_factor=1.5,
            on_max_attempts="kill",
        )
    state: dict[str, Any] = {}
    if version >= ManifestVersion.V5:
        state["state_preload"] = ["total"]
    elif version >= ManifestVersion.V3:
        state["enable_lazy_state"] = True
    cart = restate.VirtualObject("Cart", description="A cart.", metadata={"team": "shop"}, **options, **state)

    @cart.handler("add", metadata={"x": "y"}, **options, **state)
    async def add(ctx: restate.ObjectContext, item: str) -> str:  # pyright: ignore[reportUnusedFunction]
        """Add an item."""
        return item

    @cart.handler("show", kind="shared")
    async def show(ctx: restate.ObjectSharedContext) -> None:  # pyright: ignore[reportUnusedFunction]
        """Show the cart."""

    return Endpoint().bind(cart)


def our_endpoint(version: ManifestVersion) -> EndpointManifest:
    """Describe the same endpoint with our classes."""
    options: dict[str, Any] = {}
    if version >= ManifestVersion.V3:
        options |= {
            "inactivity_timeout": timedelta(seconds=3),
            "abort_timeout": timedelta(seconds=4),
            "journal_retention": timedelta(hours=5),
            "idempotency_retention": timedelta(days=6),
            "ingress_private": True,
            "enable_lazy_state": True,
        }
    if version >= ManifestVersion.V4:
        options["retry_policy"] = RetryPolicyManifest(
            initial_interval=timedelta(milliseconds=100),
            max_interval=timedelta(seconds=10),
            max_attempts=7,
            exponentiation_factor=1.5,
            on_max_attempts=OnMaxAttempts.KILL,
        )
    if version >= ManifestVersion.V5:
        options["eager_state_keys"] = ("total",)
    add = HandlerManifest(
        name="add",
        type=HandlerType.EXCLUSIVE,
        input=InputDescriptor(required=False, content_type="application/json", json_schema=ANY_SCHEMA),
        output=OutputDescriptor(content_type="application/json", json_schema=ANY_SCHEMA),
        documentation="Add an item.",
        metadata={"x": "y"},
        **options,
    )
    show = HandlerManifest(
        name="show",
        type=HandlerType.SHARED,
        input=InputDescriptor(),
        output=OutputDescriptor(),
        documentation="Show the cart.",
    )
    cart = ServiceManifest(
        name="Cart",
        type=ServiceType.VIRTUAL_OBJECT,
        handlers=(add, show),
        documentation="A cart.",
        metadata={"team": "shop"},
        **options,
    )
    return EndpointManifest(
        protocol_mode=ProtocolMode.BIDI_STREAM, min_protocol_version=5, max_protocol_version=7, services=(cart,)
    )


@pytest.mark.parametrize("version", list(ManifestVersion))
def test_the_json_is_the_peers(version: ManifestVersion):
    """Field for field the same document, in every version, with the options that the version knows."""
    theirs = json.loads(compute_discovery_json(peer_endpoint(version), version, "bidi"))
    theirs.pop("lambdaCompression", None)  # depends on the Python that runs this
    assert json.loads(render_manifest(our_endpoint(version), version)) == theirs


@pytest.mark.parametrize("version", [ManifestVersion.V2, ManifestVersion.V3, ManifestVersion.V4])
def test_both_refuse_options_of_the_next_version(version: ManifestVersion):
    """Where the other SDK refuses to write a manifest, so do we, with an error that is a `ValueError` too."""
    newer = ManifestVersion(version + 1)
    with pytest.raises(ValueError, match="only supported in discovery protocol version"):
        compute_discovery_json(peer_endpoint(newer), version, "bidi")
    with pytest.raises(ValueError, match="needs manifest version"):
        render_manifest(our_endpoint(newer), version)
