"""Calling handlers from outside of handlers, over HTTP. Needs the extra `client`.

Owns the names; `aio` awaits, `blocking` blocks, `requests` is what both share.
"""

from durably.client.aio import Client, create_client
from durably.client.interfaces import (
    HttpError,
    IdempotentRequest,
    InvocationAnswer,
    InvocationOutput,
    InvocationRef,
    RestateClient,
    RestateClientSendHandle,
    RestateScopedClient,
    WorkflowRun,
)
from durably.client.verbs import ScopedClient

__all__ = [
    "Client",
    "HttpError",
    "IdempotentRequest",
    "InvocationAnswer",
    "InvocationOutput",
    "InvocationRef",
    "RestateClient",
    "RestateClientSendHandle",
    "RestateScopedClient",
    "ScopedClient",
    "WorkflowRun",
    "create_client",
]
