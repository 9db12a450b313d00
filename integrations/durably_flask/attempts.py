"""The durable side of a view: what runs on each attempt.

Owns the function that is registered as the handler. It enters the stored request's context, finds the view as the
application's own dispatch would, calls it, and takes what the application makes of its result or its exception.
Functions that are to run before each request ran when the call arrived; teardown runs after every attempt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, g, got_request_exception
from flask.ctx import RequestContext
from flask.wrappers import Response

from durably.errors import OutcomeError, UsageError
from durably.web.responses import CarriedResponse
from durably_flask.contexts import current_state
from durably_flask.failures import ask_application, terminal_of
from durably_flask.proxies import IDENTITY
from durably_flask.requests import StoredRequest
from durably_flask.responses import carry

if TYPE_CHECKING:
    from durably_flask.endpoint import DurableView
    from durably_flask.state import AppState

__all__ = ["ViewCall", "find_function", "make_attempt"]

_FIRST_CLIENT_ERROR = 400


@dataclass(frozen=True, slots=True)
class ViewCall:
    """How a view is called on an attempt.

    Attributes:
        function: As it was decorated.
        contexts: Its parameters that are the context.
        runs_before: Whether the functions that run before each request run on attempts too.
        where: How messages call it.
    """

    function: Callable[..., Any]
    contexts: tuple[str, ...]
    runs_before: bool
    where: str


@contextmanager
def _request_context(state: AppState, request: StoredRequest) -> Generator[RequestContext, None, None]:
    with request.context(state.app) as context:
        if context.request.routing_exception is not None:
            raise context.request.routing_exception
        g.setdefault(IDENTITY, request.identity)
        if state.runtime.restore is not None:
            state.runtime.restore(request.identity)
        yield context


def _respond(app: Flask, context: RequestContext, call: ViewCall, result: Any) -> CarriedResponse:
    """Make the response of what the view returned, as it leaves the application."""
    response: Response = app.make_response(result)
    after: list[Callable[[Response], Response]] = vars(context)["_after_request_functions"]
    for function in after:
        response = app.ensure_sync(function)(response)
    return carry(response, call.where)


def _answer(app: Flask, context: RequestContext, call: ViewCall, error: Exception) -> CarriedResponse:
    """Give what the application answers to an exception as a result; raise it as a terminal error, or as it is."""
    if isinstance(error, OutcomeError):
        raise error
    try:
        response = ask_application(app, error)
    except Exception as raised:
        got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=raised)
        raise
    carried = _respond(app, context, call, response)
    if carried.status >= _FIRST_CLIENT_ERROR:
        raise terminal_of(error, carried) from error
    return carried


def _prepare(app: Flask, context: RequestContext, call: ViewCall) -> tuple[Callable[..., Any], dict[str, Any]]:
    request = context.request
    function = find_function(app, request.endpoint or "", request.method, call)
    return function, dict(request.view_args or {})


def make_attempt(call: ViewCall, context_name: str, context_type: Any, *, is_async: bool) -> Callable[..., Any]:
    """Make the handler's function: it takes the context and the stored request."""

    def state_of_attempt() -> AppState:
        state = current_state.get()
        if state is None:
            raise UsageError(f"{call.where} runs outside of its application.", hint="Serve it with Durably(app).")
        return state

    def attempt_blocking(context: Any, stored: StoredRequest) -> CarriedResponse:
        state = state_of_attempt()
        app = state.app
        with _request_context(state, stored) as within:
            try:
                result: Any = app.preprocess_request() if call.runs_before else None
                if result is None:
                    function, values = _prepare(app, within, call)
                    result = function(**values, **dict.fromkeys(call.contexts, context))
                return _respond(app, within, call, result)
            except Exception as error:
                return _answer(app, within, call, error)

    async def attempt_async(context: Any, stored: StoredRequest) -> CarriedResponse:
        state = state_of_attempt()
        app = state.app
        with _request_context(state, stored) as within:
            try:
                result: Any = app.preprocess_request() if call.runs_before else None
                if result is None:
                    function, values = _prepare(app, within, call)
                    result = await function(**values, **dict.fromkeys(call.contexts, context))
                return _respond(app, within, call, result)
            except Exception as error:
                return _answer(app, within, call, error)

    attempt: Any = attempt_async if is_async else attempt_blocking
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(attempt, name, getattr(call.function, name, None))
    attempt.__signature__ = Signature(
        [
            Parameter(context_name, Parameter.POSITIONAL_ONLY, annotation=context_type),
            Parameter("durably__request", Parameter.POSITIONAL_ONLY, annotation=Any),
        ]
    )
    attempt.__annotations__ = {context_name: context_type, "durably__request": Any, "return": Any}
    return cast("Callable[..., Any]", attempt)


def find_function(app: Flask, endpoint: str, method: str, call: ViewCall) -> Callable[..., Any]:
    """Give the function to call: this application's own, where a factory makes one for each application.

    A method of a `MethodView` comes bound to a fresh instance. Decorators above `@durably.endpoint` are left out:
    they ran when the call arrived.
    """
    view: Any = app.view_functions.get(endpoint)
    view_class: Any = getattr(view, "view_class", None)
    if view_class is None:
        found = _durable_view(view)
        return call.function if found is None else found.call.function
    name = method.lower()
    if name == "head" and not hasattr(view_class, name):
        name = "get"
    found = _durable_view(getattr(view_class, name, None))
    function = call.function if found is None else found.call.function
    return cast("Callable[..., Any]", function.__get__(_instance(view, view_class), view_class))


def _durable_view(view: Any) -> DurableView | None:
    return getattr(view, "__durably_view__", None)


def _instance(view: Any, view_class: Any) -> Any:
    """Make an instance as the view does, which keeps the arguments of `as_view` to itself."""
    kept: Mapping[str, Any] = inspect.getclosurevars(inspect.unwrap(view)).nonlocals
    if "self" in kept:
        return kept["self"]
    return view_class(*kept.get("class_args", ()), **kept.get("class_kwargs", {}))
