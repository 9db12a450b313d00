"""The runtime for a project's own code: its clients, and services that stand elsewhere than in `durable` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durably_django.runtime import runtime

if TYPE_CHECKING:
    from durably.authoring.endpoint import AnyService
    from durably.client.aio import Client
    from durably.client.blocking import BlockingClient
    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.client import EngineClient

__all__ = ["bind", "client", "sync_client"]


def bind(*services: AnyService) -> None:
    """Serve services, objects and workflows that stand in no `durable` module; before the project serves.

    Raises:
        RegistrationError: One is no service, or its name is taken.
    """
    runtime.bind(*services)


def client() -> EngineClient | Client:
    """Give the client for code that awaits; starts the runtime if nothing has.

    Raises:
        DurablyError: The runtime cannot be started.
    """
    return runtime.link.client()


def sync_client() -> BlockingEngineClient | BlockingClient:
    """Give the client for code that blocks; starts the runtime if nothing has.

    Raises:
        DurablyError: The runtime cannot be started.
    """
    return runtime.link.sync_client()
