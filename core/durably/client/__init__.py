"""Calling handlers from outside of handlers: over HTTP, which needs the extra `client`, or in the same process.

Owns the names. `durable` and `blocking_durable` say what can be asked; `aio`, `blocking` and the engine's clients
carry it.
"""

from durably.client.aio import Client, create_client
from durably.client.blocking_durable import BlockingDurablyClient
from durably.client.durable import DurablyClient
from durably.client.foreign import Foreign
from durably.client.interfaces import (
    ClientTimeoutError,
    HttpError,
    IdempotentRequest,
    InvocationAnswer,
    InvocationOutput,
    InvocationRef,
    RestateClient,
    RestateClientSendHandle,
    RestateScopedClient,
    UnreachableError,
    WorkflowRun,
)
from durably.client.options import ClientOptions
from durably.client.relays import expose_promises, signal_service
from durably.client.verbs import ScopedClient

__all__ = [
    "BlockingDurablyClient",
    "Client",
    "ClientOptions",
    "ClientTimeoutError",
    "DurablyClient",
    "Foreign",
    "HttpError",
    "IdempotentRequest",
    "InvocationAnswer",
    "InvocationOutput",
    "InvocationRef",
    "RestateClient",
    "RestateClientSendHandle",
    "RestateScopedClient",
    "ScopedClient",
    "UnreachableError",
    "WorkflowRun",
    "create_client",
    "expose_promises",
    "signal_service",
]
