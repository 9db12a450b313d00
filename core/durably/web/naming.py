"""Which service and handler an endpoint becomes.

Owns the rules for names, and the registration in a service that this application's endpoints share.

| options | service | handler |
|---|---|---|
| none | a service, named after the last part of the module | the function's name |
| `key="cart_id"` | a virtual object, `<module>_by_cart_id` | the function's name |
| `workflow=True` | a workflow, named after the function | `run` |
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from durably.annotations import plain_function
from durably.authoring.endpoint import AnyService, Endpoint
from durably.authoring.handlers import HandlerKind, ServiceKind
from durably.authoring.objects import VirtualObject
from durably.authoring.services import Service
from durably.authoring.workflows import Workflow
from durably.errors import RegistrationError
from durably.serde import Serde

__all__ = ["EndpointOptions", "Naming", "Register", "function_name", "service_for"]

Register = Callable[[Callable[..., Any], Serde[Any], Serde[Any], Mapping[str, Any]], None]
"""Registers a function with its input serde, its output serde and the options of the handler."""

_made_here: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""The services that endpoints made; endpoints may be added to these, and to no others."""


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


@dataclass(frozen=True, slots=True)
class Naming:
    """Where an endpoint is registered.

    Attributes:
        service: Name of the service.
        service_kind: What it is.
        handler: Name of the handler.
        handler_kind: How its invocations may overlap.
    """

    service: str
    service_kind: ServiceKind
    handler: str
    handler_kind: HandlerKind

    @property
    def target(self) -> str:
        """As messages call it."""
        return f"{self.service}/{self.handler}"

    @classmethod
    def of(cls, function: Callable[..., Any], options: EndpointOptions) -> Naming:
        """Apply the rules."""
        name, module = function_name(function), _module_name(function)
        if options.workflow:
            return cls(options.service or name, ServiceKind.WORKFLOW, options.name or "run", HandlerKind.WORKFLOW)
        handler = options.name or name
        if options.key is not None:
            kind = HandlerKind.SHARED if options.shared else HandlerKind.EXCLUSIVE
            return cls(options.service or f"{module}_by_{options.key}", ServiceKind.VIRTUAL_OBJECT, handler, kind)
        return cls(options.service or module, ServiceKind.SERVICE, handler, HandlerKind.PLAIN)


def function_name(function: Callable[..., Any]) -> str:
    """Give the name of a function, through partials and callable objects."""
    target: Any = plain_function(function)
    name: str = getattr(target, "__name__", type(function).__name__)
    return type(function).__name__ if name == "__call__" else name


def _module_name(function: Callable[..., Any]) -> str:
    module: str = getattr(plain_function(function), "__module__", "") or ""
    if module == "__main__":  # `python shop.py` and `uvicorn shop:app` have to mean the same service
        main: Any = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = spec.name if spec is not None else PurePath(getattr(main, "__file__", None) or "app").stem
    return module.removesuffix(".__main__").rpartition(".")[2]


def service_for(endpoint: Endpoint, naming: Naming, where: str) -> tuple[AnyService, Register]:
    """Give the service of an endpoint, made and bound if it is the first, and how to register in it.

    Raises:
        RegistrationError: The name is taken by something else, or the handler's name is.
    """
    service = endpoint.services.get(naming.service)
    if service is None:
        try:
            service = _make(naming)
            endpoint.bind(service)
        except RegistrationError as error:
            raise RegistrationError(f"{where}: {error.message}", hint="Name the service with service='…'.") from error
        _made_here.add(service)
    elif service not in _made_here or service.kind is not naming.service_kind:
        raise RegistrationError(
            f"{where} would be served by {naming.service!r}, but there is another service of this name.",
            hint="Give this endpoint another one with service='…'.",
        )
    if naming.handler in service.handlers:
        raise RegistrationError(
            f"{where}: there is a handler {naming.target} already.",
            hint="Two modules or functions have the same name: give one of them service='…' or name='…'.",
        )
    return service, _register(service, naming)


def _make(naming: Naming) -> AnyService:
    match naming.service_kind:
        case ServiceKind.SERVICE:
            return Service(naming.service)
        case ServiceKind.VIRTUAL_OBJECT:
            return VirtualObject(naming.service)
        case ServiceKind.WORKFLOW:
            return Workflow(naming.service)


def _register(service: AnyService, naming: Naming) -> Register:
    def register(
        attempt: Callable[..., Any], payload: Serde[Any], result: Serde[Any], options: Mapping[str, Any]
    ) -> None:
        given: dict[str, Any] = {**options, "name": naming.handler, "input_serde": payload, "output_serde": result}
        match service:
            case Workflow():
                service.main(**given)(attempt)
            case VirtualObject():
                given["kind"] = "shared" if naming.handler_kind is HandlerKind.SHARED else "exclusive"
                service.handler(**given)(attempt)
            case Service():
                service.handler(**given)(attempt)

    return register
