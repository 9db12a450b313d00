"""Making a FastAPI endpoint durable: what `@durably.endpoint` does with a function.

Owns the registration: the function becomes a durable handler, and an edge function takes its place under the route
decorator. How dependencies are divided stands in `dependencies`, what an HTTP call does in `edge`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi.routing import APIRoute

from durably.authoring.handlers import Handler, attach_handler
from durably.errors import RegistrationError, UsageError
from durably.web.making import HandlerKeywords
from durably.web.naming import EndpointOptions, Naming, function_name, service_for
from durably_fastapi.analysis import CallKind, call_kind, describe_call, read_result_type
from durably_fastapi.attempts import check_contexts, make_attempt
from durably_fastapi.dependencies import Division, divide
from durably_fastapi.edge import RESERVED, EdgeCall, make_edge
from durably_fastapi.host import Host
from durably_fastapi.payloads import make_payload
from durably_fastapi.results import refuse_streams, result_serde
from durably_fastapi.shim import routes_of

__all__ = ["DurableEndpoint", "find_endpoint", "make_endpoint"]

_ATTRIBUTE: Final = "__durably_endpoint__"
_ROUTES: Final = "__durably_routes__"
_OPTIONS: Final = ("service", "name", "key", "shared", "workflow", *HandlerKeywords.__annotations__)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
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

    def routes(self) -> list[APIRoute]:
        """Give the routes of the application that lead here; empty until there are some."""
        return _routes(self.host, self.edge)


def make_endpoint(function: Callable[..., Any], *, host: Host, options: EndpointOptions) -> Callable[..., Any]:
    """Register `function` as a durable handler and give the function for the route.

    The service is made, or taken if an earlier endpoint made it, and bound to `host.endpoint`. Called at import,
    long before `host.app` or `host.link` need to be there.

    Raises:
        RegistrationError: The function, a dependency or an option cannot work; the text names it, the hint says what
            to write instead.
        ConfigurationError: An option has a wrong type.
    """
    where = f"Endpoint {describe_call(function)}"
    _refuse_what_is_no_endpoint(function, where)
    result = _result_type(function, where)
    refuse_streams(result, where)
    division = divide(function)
    _refuse_reserved(division, where)
    naming = Naming.of(function, options)
    _check_key(division, options, where)
    is_async = call_kind(function) is CallKind.COROUTINE
    check_contexts(division.contexts(), naming.service_kind, naming.handler_kind, is_async=is_async)
    payload = make_payload(f"{function_name(function)}_payload", division.carried)
    made: list[DurableEndpoint] = []
    edge = make_edge(function, EdgeCall(division.carried, payload, options.key), result, lambda: made[0])

    def find_route() -> APIRoute | None:
        return next(iter(_routes(host, edge)), None)

    serde = result_serde(result, find_route, naming.target)
    attempt = make_attempt(function, division, host, find_route, is_async=is_async)
    service, register = service_for(host.endpoint, naming, where)
    try:
        register(attempt, payload, serde, dict(options.handler))
    except TypeError as error:
        unknown = [each for each in options.handler if each not in HandlerKeywords.__annotations__]
        if not unknown:
            raise
        raise RegistrationError(
            f"{where}: there is no option {unknown[0]!r}.", hint=f"There are {', '.join(_OPTIONS)}."
        ) from error
    handler = service.handlers[naming.handler]
    endpoint = DurableEndpoint(host, handler, function, edge, options)
    made.append(endpoint)
    setattr(attempt, _ATTRIBUTE, endpoint)
    setattr(edge, _ATTRIBUTE, endpoint)
    return attach_handler(edge, handler)


def find_endpoint(target: Callable[..., Any] | Handler) -> DurableEndpoint | None:
    """Give the durable endpoint of a route's function or of a handler; None if it is none."""
    found = getattr(target.function if isinstance(target, Handler) else target, _ATTRIBUTE, None)
    return found if isinstance(found, DurableEndpoint) else None


def _routes(host: Host, edge: Callable[..., Any]) -> list[APIRoute]:
    """Find the routes, once: an application that serves has all its routes."""
    app = host.app
    if app is None:
        return []
    known: tuple[Any, list[APIRoute]] | None = getattr(edge, _ROUTES, None)
    if known is not None and known[0] is app:
        return known[1]
    found = routes_of(app, edge)
    if found:
        setattr(edge, _ROUTES, (app, found))
    return found


def _refuse_what_is_no_endpoint(function: Any, where: str) -> None:
    if not callable(function):
        raise RegistrationError(f"{function!r} is no endpoint.", hint="Put @durably.endpoint over a function.")
    if find_endpoint(function) is not None:
        raise RegistrationError(f"{where} is durable already.", hint="Write @durably.endpoint once.")
    if isinstance(function, type):
        raise RegistrationError(f"{where} is a class.", hint="Put @durably.endpoint over a function.")
    if call_kind(function) in (CallKind.GENERATOR, CallKind.ASYNC_GENERATOR):
        raise RegistrationError(
            f"{where} is a generator: it streams its answer, which cannot be recorded.",
            hint="Return the result instead of yielding, or serve the stream from a route that is not durable.",
        )


def _result_type(function: Callable[..., Any], where: str) -> Any:
    try:
        return read_result_type(function)
    except UsageError as error:
        raise RegistrationError(f"{where}: the result: {error.message}", hint=error.hint) from error


def _refuse_reserved(division: Division, where: str) -> None:
    for name in division.carried:
        if name.startswith(RESERVED):
            raise RegistrationError(
                f"{where}: parameter `{name}` has a reserved name.", hint=f"Names must not begin with {RESERVED}."
            )


def _check_key(division: Division, options: EndpointOptions, where: str) -> None:
    if options.shared and (options.key is None or options.workflow):
        raise RegistrationError(
            f"{where}: shared=True says that it runs beside others of its key, but it has none of a virtual object.",
            hint="Give it key='…' without workflow=True, or leave shared out.",
        )
    if options.key is not None and options.key not in division.carried:
        names = ", ".join(division.carried) or "none"
        raise RegistrationError(f"{where}: key={options.key!r} is none of its values.", hint=f"Values it has: {names}.")
