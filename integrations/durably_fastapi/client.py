"""The client as a dependency of ordinary endpoints, without naming the `Durably` object.

    @app.post("/orders/{order_id}/cancel")
    async def cancel(order_id: str, client: DurableClient) -> None: ...

Owns the two aliases. They stand for the application that the request reached, so a router can be written before the
application exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from durably.errors import UsageError
from durably_fastapi.dispatch import Outgoing, outgoing_of
from durably_fastapi.markers import only_outside

if TYPE_CHECKING:
    from durably.client.aio import Client
    from durably.client.blocking import BlockingClient
    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.client import EngineClient

    # Which of them it is, the settings say; both have the same methods.
    AnyClient: TypeAlias = EngineClient | Client
    AnySyncClient: TypeAlias = BlockingEngineClient | BlockingClient
else:
    AnyClient = AnySyncClient = Any

__all__ = [
    "CTX_CALLS",
    "AnyClient",
    "AnySyncClient",
    "DurableClient",
    "DurableSyncClient",
    "current_client",
    "current_outgoing",
    "current_sync_client",
]


CTX_CALLS: Final = (
    "The client is for ordinary endpoints. Here, call handlers with ctx.service_call, ctx.object_call or"
    " ctx.workflow_call, and send to them with ctx.service_send, ctx.object_send or ctx.workflow_send."
)
"""What a durable function does in the place of using the client."""


def current_outgoing(connection: HTTPConnection) -> Outgoing:
    """Give what the dispatch knows about a request.

    Raises:
        UsageError: No `Durably` takes care of the application.
    """
    outgoing = outgoing_of(connection.scope)
    if outgoing is None:
        raise UsageError(
            "This request reached an application without Durably.", hint="Make `Durably(app)` of the application."
        )
    return outgoing


@only_outside(CTX_CALLS)
async def current_client(connection: HTTPConnection) -> AnyClient:
    """Give the client of the application that the request reached; the dependency behind `DurableClient`."""
    return current_outgoing(connection).runtime.link.client()


@only_outside(CTX_CALLS)
async def current_sync_client(connection: HTTPConnection) -> AnySyncClient:
    """Give the blocking client of the application that the request reached; behind `DurableSyncClient`."""
    return current_outgoing(connection).runtime.link.sync_client()


DurableClient = Annotated[AnyClient, Depends(current_client)]
"""The client, for ordinary `async def` endpoints: `client: DurableClient`. Durable ones call through their context."""

DurableSyncClient = Annotated[AnySyncClient, Depends(current_sync_client)]
"""The client whose methods block, for ordinary `def` endpoints: `client: DurableSyncClient`."""
