"""What the ingress, the admin API and the clients ask of a running engine.

Owns the interface between HTTP (or a client in the same process) and the runtime. `Engine` gives one to the
applications that it serves; whether this process drives the file or another does makes no difference to them.

Rules
1. All methods are called on the engine's event loop.
2. What `submit` answers is stored. A refusal is an outcome (`Failed`), not an exception.
3. `StoreError` and `EngineStoppedError` come out of every method: nothing is known to have happened then, though it
   may have. The ingress answers 503.
4. Cancelling a `submit` stops the waiting; what was asked for goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from durably.engine.actions import Failed, Outcome
from durably.engine.events import Event
from durably.engine.records import Deployment, EngineOptions, Headers, ServiceRecord
from durably.engine.store.contract import Reader

__all__ = ["EngineApi", "RegisteredDeployment", "Registration"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What is asked of a registration over HTTP.

    Attributes:
        uri: Of the deployment, `http://` or `https://`.
        use_http_11: Whether to speak HTTP/1.1 to it, not HTTP/2.
        force: Whether to replace the services of a known uri.
        breaking: Whether a service may change its type.
        dry_run: Whether to check and store nothing.
        additional_headers: Sent with every request to it; secret.
        metadata: Shown to operators.
    """

    uri: str
    use_http_11: bool = False
    force: bool = False
    breaking: bool = False
    dry_run: bool = False
    additional_headers: Headers = ()
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RegisteredDeployment:
    """A deployment that was registered, or would be.

    Attributes:
        deployment: As stored (for a dry run, as it would be).
        services: The revisions it has, sorted by name.
        is_new: Whether its uri was not known before: 201, else 200.
    """

    deployment: Deployment
    services: tuple[ServiceRecord, ...]
    is_new: bool


class EngineApi(Protocol):
    """A running engine, as the ingress, the admin API and the clients see it."""

    @property
    def options(self) -> EngineOptions:
        """Limits and defaults."""
        ...

    @property
    def services(self) -> Mapping[str, ServiceRecord]:
        """The latest revision of every service by name: a snapshot, replaced as a whole when one changes."""
        ...

    def now_ms(self) -> int:
        """Tell the time on the engine's clock, epoch in ms."""
        ...

    async def submit(self, event: Event) -> Outcome:
        """Do what is asked and give its outcome; for calls and `Attach` once the invocation has completed.

        Args:
            event: One with a `reply`; what stands there is replaced, give 0.

        Raises:
            StoreError: It could not be stored.
            EngineStoppedError: The engine stops or has stopped.
        """
        ...

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Do read-only work on one committed state of the store, on another thread.

        Raises:
            StoreError: It cannot be read.
            EngineStoppedError: The engine has stopped.
        """
        ...

    async def register(self, registration: Registration) -> RegisteredDeployment | Failed:
        """Ask a deployment for its services and register them.

        Returns:
            What is registered; `Failed` with a `doc_code` and source ADMIN where it cannot be.

        Raises:
            StoreError: It could not be stored.
            EngineStoppedError: The engine stops or has stopped.
        """
        ...
