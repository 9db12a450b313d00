"""Workflows: one run, and handlers beside it."""

from __future__ import annotations

import pytest

import durably
from durably.authoring.handlers import handler_of
from durably.authoring.signatures import HandlerKind, ServiceKind
from durably.errors import ConfigurationError


def test_kinds_of_handlers() -> None:
    """Objects have exclusive and shared handlers, workflows one run and shared ones beside it."""
    cart, signup = durably.VirtualObject("Cart"), durably.Workflow("Signup")

    @cart.handler()
    async def add(ctx: durably.ObjectContext) -> None: ...
    @cart.handler(kind="shared")
    async def peek(ctx: durably.ObjectSharedContext) -> None: ...
    @signup.main()
    async def run(ctx: durably.WorkflowContext) -> None: ...
    @signup.handler()
    async def confirm(ctx: durably.WorkflowSharedContext) -> None: ...

    kinds = {name: each.kind for service in (cart, signup) for name, each in service.handlers.items()}
    assert kinds == {
        "add": HandlerKind.EXCLUSIVE,
        "peek": HandlerKind.SHARED,
        "run": HandlerKind.WORKFLOW,
        "confirm": HandlerKind.SHARED,
    }
    assert handler_of(add).is_keyed
    assert handler_of(run).service_kind is ServiceKind.WORKFLOW
    with pytest.raises(ConfigurationError, match="'exclusive' or 'shared'"):
        cart.handler(kind="other")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
