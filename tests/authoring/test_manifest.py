"""The description of an endpoint: options, payloads and their JSON Schemas."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pydantic
import pytest

import durably
from durably.errors import ConfigurationError, UsageError
from durably.protocol.manifest import ManifestVersion, ProtocolMode, render_manifest


@dataclass
class Item:
    sku: str
    parts: list[Item]


class Order(pydantic.BaseModel):
    items: list[Item]
    note: str | None = None
    number: int = pydantic.Field(alias="orderNumber")

    @pydantic.computed_field
    def size(self) -> int:
        return len(self.items)


def _describe(*services: Any, version: ManifestVersion = ManifestVersion.V4) -> list[dict[str, Any]]:
    manifest = durably.Endpoint().bind(*services).manifest(ProtocolMode.BIDI_STREAM)
    described: list[dict[str, Any]] = json.loads(render_manifest(manifest, version))["services"]
    return described


def test_every_option_reaches_the_manifest() -> None:
    """Options of services and handlers, of all three kinds, arrive under their names."""
    policy = durably.InvocationRetryPolicy(timedelta(seconds=1), 2.0, timedelta(seconds=9), 4, "pause")
    common: dict[str, Any] = {
        "metadata": {"team": "a"},
        "inactivity_timeout": timedelta(seconds=1),
        "abort_timeout": timedelta(seconds=2),
        "journal_retention": timedelta(days=1),
        "ingress_private": True,
        "invocation_retry_policy": policy,
    }
    flow = durably.Workflow("Flow", "A flow", idempotency_retention=timedelta(hours=1), state_preload=False, **common)

    @flow.main(workflow_retention=timedelta(days=2), **common)
    async def run(ctx: durably.WorkflowContext) -> None:
        """Run it."""

    @flow.handler(idempotency_retention=timedelta(hours=2), enable_lazy_state=False)
    async def ask(ctx: durably.WorkflowSharedContext) -> None: ...

    [service] = _describe(flow)
    shared = {
        "metadata": {"team": "a"},
        "inactivityTimeout": 1000,
        "abortTimeout": 2000,
        "journalRetention": 86_400_000,
        "ingressPrivate": True,
        "retryPolicyInitialInterval": 1000,
        "retryPolicyExponentiationFactor": 2.0,
        "retryPolicyMaxInterval": 9000,
        "retryPolicyMaxAttempts": 4,
        "retryPolicyOnMaxAttempts": "PAUSE",
    }
    handlers = service.pop("handlers")
    assert service == {
        "name": "Flow",
        "ty": "WORKFLOW",
        "documentation": "A flow",
        "idempotencyRetention": 3_600_000,
        "enableLazyState": True,
        **shared,
    }
    nothing = {"input": {}, "output": {"setContentTypeIfEmpty": False}}
    assert handlers == [
        {
            "name": "run",
            "ty": "WORKFLOW",
            "documentation": "Run it.",
            "workflowCompletionRetention": 172_800_000,
            **nothing,
            **shared,
        },
        {"name": "ask", "ty": "SHARED", "idempotencyRetention": 7_200_000, "enableLazyState": False, **nothing},
    ]


def test_keys_to_preload_need_the_newest_manifest() -> None:
    """A list of keys appears in v5; for an older runtime it is refused, naming the option."""
    cart = durably.VirtualObject("Cart")

    @cart.handler(state_preload=["a", "b"])
    async def add(ctx: durably.ObjectContext) -> None: ...

    [service] = _describe(cart, version=ManifestVersion.V5)
    assert service["handlers"][0]["eagerStateKeysWhitelist"] == ["a", "b"]
    assert service["handlers"][0]["enableLazyState"] is True
    with pytest.raises(ConfigurationError, match=r"eager_state_keys.*'add'.*'Cart'"):
        _describe(cart)


def test_payloads_are_described() -> None:
    """Input and output have their media type and a JSON Schema: input as it is read, output as it is written."""
    shop = durably.Service("Shop")

    @shop.handler()
    async def place(ctx: durably.Context, order: Order) -> Order: ...  # type: ignore[empty-body]
    @shop.handler(accept="*/*", content_type="text/plain")
    async def raw(ctx: durably.Context, body: bytes) -> bytes: ...  # type: ignore[empty-body]
    @shop.handler()
    async def untyped(ctx: durably.Context, order) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
    @shop.handler()
    async def maybe(ctx: durably.Context, order: Order | None): ...  # type: ignore[no-untyped-def]

    described = {handler["name"]: handler for handler in _describe(shop)[0]["handlers"]}

    input_schema, output_schema = (described["place"][side]["jsonSchema"] for side in ("input", "output"))
    assert described["place"]["input"]["required"] is True
    assert set(input_schema["required"]) == {"items", "orderNumber"}
    assert set(output_schema["required"]) == {"items", "orderNumber", "size", "note"} - {"note"}
    assert "size" not in input_schema["properties"]
    assert described["raw"]["input"] == {"required": False, "contentType": "*/*"}
    assert described["raw"]["output"] == {"contentType": "text/plain", "setContentTypeIfEmpty": False}
    assert described["untyped"]["input"] == {"required": False, "contentType": "application/json"}
    assert described["untyped"]["output"] == {"setContentTypeIfEmpty": False}
    assert described["maybe"]["input"]["required"] is False
    assert described["maybe"]["output"] == {"contentType": "application/json", "setContentTypeIfEmpty": False}


def test_schemas_refer_only_to_themselves() -> None:
    """Every reference in a schema points inside the same schema, also for recursive types."""
    shop = durably.Service("Shop")

    @shop.handler()
    async def place(ctx: durably.Context, orders: list[Order]) -> dict[str, Item]: ...  # type: ignore[empty-body]

    [handler] = _describe(shop)[0]["handlers"]
    for side in ("input", "output"):
        schema = handler[side]["jsonSchema"]
        references = re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema))
        assert references
        for reference in references:
            assert reference.removeprefix("#/$defs/") in schema["$defs"]


def test_a_type_that_is_never_completed_is_reported_at_discovery() -> None:
    """A model with a missing part is named when the runtime asks, with the name that is missing."""
    shop = durably.Service("Shop")

    class Broken(pydantic.BaseModel):
        part: Missing  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    @shop.handler()
    async def place(ctx: durably.Context, thing: Broken) -> None: ...

    with pytest.raises(UsageError, match="Broken"):
        _describe(shop)
