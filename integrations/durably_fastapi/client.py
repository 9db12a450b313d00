"""The client as a dependency of ordinary endpoints, without naming the `Durably` object.

    @app.post("/orders/{order_id}/cancel")
    async def cancel(order_id: str, client: DurableClient) -> None: ...

Owns the two aliases. They stand for the application that the request reached, so a router can be written before the
application exists.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from durably.client.interfaces import RestateClient
from durably.errors import UsageError
from durably_fastapi.dispatch import Outgoing, outgoing_of

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


async def current_client(connection: HTTPConnection) -> RestateClient:
    """Give the client of the application that the request reached; the dependency behind `DurableClient`."""
    return current_outgoing(connection).runtime.link.client()


async def current_sync_client(connection: HTTPConnection) -> Any:
    """Give the blocking client of the application that the request reached; behind `DurableSyncClient`."""
    return current_outgoing(connection).runtime.link.sync_client()


DurableClient = Annotated[RestateClient, Depends(current_client)]
"""The client, for `async def` endpoints: `client: DurableClient`."""

DurableSyncClient = Annotated[Any, Depends(current_sync_client)]
"""The client whose methods block, for `def` endpoints: `client: DurableSyncClient`."""
