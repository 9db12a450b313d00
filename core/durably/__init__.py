"""Durable handlers for existing web apps: every step is journaled before it counts.

    import durably

    greeter = durably.Service("greeter")

    @greeter.handler()
    async def greet(ctx: durably.Context, name: str) -> str:
        return await ctx.run_typed("greeting", compose, name=name)

    app = durably.app([greeter])          # any ASGI server; durably.wsgi_app for WSGI

Owns the list of public names. Code written for restate-sdk runs with `import durably as restate`. What only some
applications need (serving, clients, contexts of `def` handlers, the test harness) is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
from durably.authoring.combinators import all_of, all_settled, as_completed, gather, race, select, wait_completed
from durably.authoring.contexts import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    WorkflowContext,
    WorkflowSharedContext,
)
from durably.authoring.current import current_context
from durably.authoring.failures import FailureMap
from durably.authoring.futures import (
    DurableFuture,
    DurableTimeoutError,
    RestateDurableCallFuture,
    RestateDurableFuture,
    RestateDurableSleepFuture,
    SendHandle,
)
from durably.authoring.objects import VirtualObject
from durably.authoring.options import InvocationRetryPolicy
from durably.authoring.promises import DurablePromise
from durably.authoring.replay_logging import RestateLoggingFilter, getLogger
from durably.authoring.runs import RunOptions
from durably.authoring.scopes import ScopedContext
from durably.authoring.services import Service
from durably.authoring.workflows import Workflow
from durably.endpoint import Endpoint, app, wsgi_app
from durably.errors import (
    CompensationFailedError,
    DurablyError,
    InvocationCancelledError,
    RetryableError,
    SdkInternalBaseException,
    TerminalError,
    is_internal_exception,
)

if TYPE_CHECKING:
    from durably import asyncio, logging, sync
    from durably.authoring.sagas import Saga, SyncSaga
    from durably.authoring.sync_contexts import (
        SyncContext,
        SyncObjectContext,
        SyncObjectSharedContext,
        SyncWorkflowContext,
        SyncWorkflowSharedContext,
    )
    from durably.client import create_client
    from durably.client.interfaces import HttpError, RestateClient, RestateClientSendHandle
    from durably.connection import ConnectError, connect, with_connection
    from durably.engine.clock import ManualClock
    from durably.engine.engine import Engine
    from durably.engine.records import EngineOptions, OnMaxAttempts, RetryPolicy
    from durably.hosting.options import HostingOptions
    from durably.machine import MachineOptions
    from durably.testing.harness import create_test_harness, test_harness
    from durably.types import HarnessEnvironment

__version__ = "0.1.0"

__all__ = [
    "CompensationFailedError",
    "ConnectError",
    "Context",
    "DurableFuture",
    "DurablePromise",
    "DurableTimeoutError",
    "DurablyError",
    "Endpoint",
    "Engine",
    "EngineOptions",
    "FailureMap",
    "HarnessEnvironment",
    "HostingOptions",
    "HttpError",
    "InvocationCancelledError",
    "InvocationRetryPolicy",
    "JournalValueCodec",
    "JournalValueCodecProvider",
    "MachineOptions",
    "ManualClock",
    "ObjectContext",
    "ObjectSharedContext",
    "OnMaxAttempts",
    "RestateClient",
    "RestateClientSendHandle",
    "RestateDurableCallFuture",
    "RestateDurableFuture",
    "RestateDurableSleepFuture",
    "RestateLoggingFilter",
    "RetryPolicy",
    "RetryableError",
    "RunOptions",
    "Saga",
    "ScopedContext",
    "SdkInternalBaseException",
    "SendHandle",
    "Service",
    "SyncContext",
    "SyncObjectContext",
    "SyncObjectSharedContext",
    "SyncSaga",
    "SyncWorkflowContext",
    "SyncWorkflowSharedContext",
    "TerminalError",
    "VirtualObject",
    "Workflow",
    "WorkflowContext",
    "WorkflowSharedContext",
    "all_of",
    "all_settled",
    "app",
    "as_completed",
    "asyncio",
    "connect",
    "create_client",
    "create_test_harness",
    "current_context",
    "gather",
    "getLogger",
    "is_internal_exception",
    "logging",
    "race",
    "select",
    "sync",
    "test_harness",
    "wait_completed",
    "with_connection",
    "wsgi_app",
]

_IMPORTED_ON_USE = {
    "ConnectError": "durably.connection",
    "Engine": "durably.engine.engine",
    "EngineOptions": "durably.engine.records",
    "HarnessEnvironment": "durably.types",
    "HostingOptions": "durably.hosting.options",
    "HttpError": "durably.client.interfaces",
    "MachineOptions": "durably.machine",
    "ManualClock": "durably.engine.clock",
    "OnMaxAttempts": "durably.engine.records",
    "RestateClient": "durably.client.interfaces",
    "RestateClientSendHandle": "durably.client.interfaces",
    "RetryPolicy": "durably.engine.records",
    "Saga": "durably.authoring.sagas",
    "SyncContext": "durably.authoring.sync_contexts",
    "SyncObjectContext": "durably.authoring.sync_contexts",
    "SyncObjectSharedContext": "durably.authoring.sync_contexts",
    "SyncSaga": "durably.authoring.sagas",
    "SyncWorkflowContext": "durably.authoring.sync_contexts",
    "SyncWorkflowSharedContext": "durably.authoring.sync_contexts",
    "connect": "durably.connection",
    "create_client": "durably.client",
    "create_test_harness": "durably.testing.harness",
    "test_harness": "durably.testing.harness",
    "with_connection": "durably.connection",
}

_MODULES = frozenset(
    {
        "asyncio",
        "client",
        "client_types",
        "connection",
        "context",
        "context_managers",
        "entry_codec",
        "exceptions",
        "extensions",
        "handler",
        "logging",
        "object",
        "retry_policy",
        "service",
        "sync",
        "testing",
        "types",
        "workflow",
    }
)
"""Modules that `import durably` alone makes reachable, as `import restate` does for its own."""


def __getattr__(name: str) -> Any:
    if name in _IMPORTED_ON_USE:
        value = getattr(importlib.import_module(_IMPORTED_ON_USE[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"durably.{name}")
    else:
        raise AttributeError(f"module 'durably' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
