"""The client as a dependency of ordinary endpoints, without naming the `Durably` object.

    @app.post("/orders/{order_id}/cancel")
    async def cancel(order_id: str, client: DurableClient) -> None: ...

Owns the two aliases. They stand for the application that the request reached, so a router can be written before the
application exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from durably.errors import UsageError
from durably_fastapi.dispatch import Outgoing, outgoing_of

if TYPE_CHECKING:
    from durably.client.aio import Client
    from durably.client.blocking import BlockingClient
    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.client import EngineClient

    # Which of them it is, the settings say; both have the same methods.
    _Client: TypeAlias = EngineClient | Client
    _SyncClient: TypeAlias = BlockingEngineClient | BlockingClient
else:
    _Client = _SyncClient = Any

__all__ = ["DurableClient", "DurableSyncClient", "current_client", "current_outgoing", "current_sync_client"]


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


async def current_client(connection: HTTPConnection) -> _Client:
    """Give the client of the application that the request reached; the dependency behind `DurableClient`."""
    return current_outgoing(connection).runtime.link.client()


async def current_sync_client(connection: HTTPConnection) -> _SyncClient:
    """Give the blocking client of the application that the request reached; behind `DurableSyncClient`."""
    return current_outgoing(connection).runtime.link.sync_client()


DurableClient = Annotated[_Client, Depends(current_client)]
"""The client, for `async def` endpoints: `client: DurableClient`."""

DurableSyncClient = Annotated[_SyncClient, Depends(current_sync_client)]
"""The client whose methods block, for `def` endpoints: `client: DurableSyncClient`."""
