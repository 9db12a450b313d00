"""Virtual objects: exclusive and shared handlers."""

from __future__ import annotations

import pytest

import durably
from durably.authoring.handlers import handler_of
from durably.authoring.signatures import HandlerKind, ServiceKind
from durably.errors import ConfigurationError


def test_objects_have_exclusive_and_shared_handlers() -> None:
    """A handler is exclusive unless it says that it is shared; anything else is refused."""
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
