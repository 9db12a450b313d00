"""Making a FastAPI endpoint durable: what `@durably.endpoint` does with a function.

Owns the registration: the function becomes a durable handler, and an edge function takes its place under the route
decorator. How dependencies are divided stands in `dependencies`, what an HTTP call does in `edge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from durably.authoring.handlers import Handler
from durably_fastapi.host import Host

__all__ = ["DurableEndpoint", "EndpointOptions", "find_endpoint", "make_endpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """What `@durably.endpoint(...)` was told.

    Attributes:
        service: Name of the service; None takes the last part of the function's module, followed by `_by_<key>`
            with a key, or the function's name for a workflow.
        name: Name of the handler; None takes the function's, and `run` for a workflow.
        key: Name of the parameter whose value, as text, is the key of a virtual object or of the workflow.
        shared: Runs beside others of its key; only with `key`, not with `workflow`.
        workflow: Runs once for each key; without `key` the `Idempotency-Key` is the key, else a random one.
        handler: Options for the handler as `Service.handler(...)` has them (`invocation_retry_policy`,
            `inactivity_timeout`, `journal_retention`, `failures`, …).
    """

    service: str | None = None
    name: str | None = None
    key: str | None = None
    shared: bool = False
    workflow: bool = False
    handler: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, eq=False)
class DurableEndpoint:
    """One durable endpoint, as `find_endpoint` gives it.

    Attributes:
        host: The application's `Durably`.
        handler: The durable handler that runs the function.
        function: The function as it was written.
        edge: What stands under the route decorator.
        options: What the decorator was told.
    """

    host: Host
    handler: Handler
    function: Callable[..., Any]
    edge: Callable[..., Any]
    options: EndpointOptions


def make_endpoint(function: Callable[..., Any], *, host: Host, options: EndpointOptions) -> Callable[..., Any]:
    """Register `function` as a durable handler and give the function for the route.

    The service is made, or taken if an earlier endpoint made it, and bound to `host.endpoint`. Called at import,
    long before `host.app` or `host.link` need to be there.

    Raises:
        RegistrationError: The function, a dependency or an option cannot work; the text names it, the hint says what
            to write instead.
        ConfigurationError: An option has a wrong type.
    """
    raise NotImplementedError


def find_endpoint(target: Callable[..., Any] | Handler) -> DurableEndpoint | None:
    """Give the durable endpoint of a route's function or of a handler; None if it is none."""
    raise NotImplementedError
