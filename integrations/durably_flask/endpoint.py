"""Making a Flask view durable: what `@durably.endpoint` does with a function, and what a call of it does.

Owns the registration, and the edge: the function that stands under the route decorator. It stores the request, calls
the handler, and answers with what comes of it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, assert_never

from flask import Flask, current_app, g, jsonify, request, session
from flask.wrappers import Response

from durably.annotations import UnresolvedAnnotationError, evaluate_annotation, raw_annotations, visible_names
from durably.authoring.contexts import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    WorkflowContext,
    WorkflowSharedContext,
)
from durably.authoring.handlers import Handler, attach_handler
from durably.authoring.sync_contexts import (
    SyncContext,
    SyncObjectContext,
    SyncObjectSharedContext,
    SyncWorkflowContext,
    SyncWorkflowSharedContext,
)
from durably.endpoint import Endpoint
from durably.errors import RegistrationError, UsageError
from durably.serde import Serde
from durably.web.calls import EndpointCall, perform_blocking, poll_blocking
from durably.web.naming import EndpointOptions, Naming, service_for
from durably.web.outcomes import Accepted, Done, Failed, Outcome
from durably_flask.attempts import ViewCall, make_attempt
from durably_flask.detaching import PATIENCE_S, can_detach, wait_for
from durably_flask.failures import give_failure
from durably_flask.proxies import IDENTITY
from durably_flask.requests import StoredRequest, limit_body, store_request
from durably_flask.responses import ResponseSerde, rebuild
from durably_flask.state import AppState, state_of

__all__ = ["DurableView", "find_view", "keep_body", "make_endpoint", "poll_view"]

_ATTRIBUTE: Final = "__durably_view__"
_HANDED_ON: Final = ("traceparent", "tracestate", "baggage")
_USER_IN_SESSION: Final = ("_user_id", "user_id")
_CONTEXTS: Final[Mapping[str, type[Any]]] = {
    each.__name__: each
    for each in (
        *(Context, ObjectContext, ObjectSharedContext, WorkflowContext, WorkflowSharedContext),
        *(SyncContext, SyncObjectContext, SyncObjectSharedContext, SyncWorkflowContext, SyncWorkflowSharedContext),
    )
}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class DurableView:
    """One durable view.

    Attributes:
        call: How it runs on an attempt.
        handler: The durable handler.
        options: What the decorator was told.
    """

    call: ViewCall
    handler: Handler
    options: EndpointOptions


class _RequestSerde(Serde[StoredRequest]):
    """Writes and reads stored requests."""

    def serialize(self, obj: StoredRequest | None) -> bytes:
        return b"" if obj is None else obj.to_json()

    def deserialize(self, buf: bytes) -> StoredRequest:
        return StoredRequest.from_json(buf)


def make_endpoint(
    function: Callable[..., Any], *, registry: Endpoint, options: EndpointOptions, runs_before: bool
) -> Callable[..., Any]:
    """Register `function` as a durable handler and give the function for the route.

    Raises:
        RegistrationError: The function or an option cannot work; the text says which and why.
    """
    where = f"View {getattr(function, '__qualname__', function)}"
    _refuse_what_is_no_view(function, where)
    contexts = _context_parameters(function, where)
    _check_key(function, options, where)
    options = _with_name(function, options)
    naming = Naming.of(function, options)
    name, kind = next(iter(contexts.items()), ("ctx", Any))
    call = ViewCall(function, tuple(contexts), runs_before, where)
    attempt = make_attempt(call, name, kind, is_async=inspect.iscoroutinefunction(function))
    _forget_twin(registry, naming, function)
    service, register = service_for(registry, naming, where)
    try:
        register(attempt, _RequestSerde(), ResponseSerde(), dict(options.handler))
    except TypeError as error:
        raise RegistrationError(
            f"{where}: {error}.", hint="Options are those of the service's handler decorator."
        ) from error
    view = DurableView(call, service.handlers[naming.handler], options)

    @wraps(function)
    def edge(*args: Any, **values: Any) -> Response:
        return _call_at_edge(view, values)

    setattr(attempt, _ATTRIBUTE, view)
    setattr(edge, _ATTRIBUTE, view)
    return attach_handler(edge, view.handler)


def find_view(app: Flask, endpoint: str | None, method: str) -> DurableView | None:
    """Give the durable view that a request is for, through decorators that keep what they wrap; None if it is none."""
    view: Any = app.view_functions.get(endpoint or "")
    view_class: Any = getattr(view, "view_class", None)
    if view_class is not None:
        view = getattr(view_class, method.lower(), None)
    found = getattr(view, _ATTRIBUTE, None)
    return found if isinstance(found, DurableView) else None


# ---- registration


def _refuse_what_is_no_view(function: Any, where: str) -> None:
    if not inspect.isfunction(function):
        raise RegistrationError(
            f"{where} is no function.", hint="Put @durably.endpoint over a view function, or a method of a MethodView."
        )
    if hasattr(function, _ATTRIBUTE):
        raise RegistrationError(f"{where} is durable already.", hint="Write @durably.endpoint once.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RegistrationError(
            f"{where} is a generator: it streams its answer, which cannot be recorded.",
            hint="Return the result instead of yielding, or serve the stream from a view that is not durable.",
        )


def _context_parameters(function: Callable[..., Any], where: str) -> dict[str, Any]:
    """Find the parameters that are annotated with a context."""
    raw, names = raw_annotations(function), visible_names(function)
    found: dict[str, Any] = {}
    for name in inspect.signature(function).parameters:
        if name not in raw:
            continue
        written = raw[name]
        try:
            kind: Any = evaluate_annotation(written, function, names)
        except UnresolvedAnnotationError as error:
            kind = _CONTEXTS.get(str(written).rpartition(".")[2])  # imported for type checkers only
            if kind is None and "Context" in str(written):
                raise RegistrationError(f"{where}: parameter `{name}`: {error.message}", hint=error.hint) from error
        if isinstance(kind, type) and kind in _CONTEXTS.values():
            found[name] = kind
    return found


def _check_key(function: Callable[..., Any], options: EndpointOptions, where: str) -> None:
    if options.shared and (options.key is None or options.workflow):
        raise RegistrationError(
            f"{where}: shared=True says that it runs beside others of its key, but it has none of a virtual object.",
            hint="Give it key='…' without workflow=True, or leave shared out.",
        )
    parameters = inspect.signature(function).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    if options.key is not None and options.key not in parameters and not takes_any:
        raise RegistrationError(
            f"{where}: key={options.key!r} is none of its parameters.", hint="The key is a part of the URL."
        )


def _with_name(function: Callable[..., Any], options: EndpointOptions) -> EndpointOptions:
    """Name the method of a class after both."""
    scope, _, name = function.__qualname__.rpartition(".")
    owner = scope.rpartition(".")[2]
    if not owner or owner == "<locals>" or options.name is not None:
        return options
    if options.workflow and options.service is None:
        return EndpointOptions(service=f"{owner}_{name}", key=options.key, workflow=True, handler=options.handler)
    named = None if options.workflow else f"{owner}_{name}"
    return EndpointOptions(
        service=options.service,
        name=named,
        key=options.key,
        shared=options.shared,
        workflow=options.workflow,
        handler=options.handler,
    )


def _forget_twin(registry: Endpoint, naming: Naming, function: Callable[..., Any]) -> None:
    """Let a factory register the function that it makes anew for each application."""
    service = registry.services.get(naming.service)
    known = None if service is None else service.handlers.get(naming.handler)
    view = None if known is None else getattr(known.function, _ATTRIBUTE, None)
    if service is not None and isinstance(view, DurableView) and view.call.function.__code__ is function.__code__:
        del service.handlers[naming.handler]


# ---- at the edge


def keep_body() -> None:
    """Read the body of a durable view's request before anything else does; runs before each request."""
    state = state_of(current_app)
    if find_view(state.app, request.endpoint, request.method) is not None:
        limit_body(request, state.settings.max_upload_bytes)


def _call_at_edge(view: DurableView, values: Mapping[str, Any]) -> Response:
    state = state_of(current_app)
    state.try_start()
    if state.link.endpoint.find(view.handler.service_name, view.handler.name) is None:
        raise UsageError(
            f"{view.call.where} was made durable after the application had started.",
            hint="Register all views before the first request.",
        )
    limit_body(request, state.settings.max_upload_bytes)
    hook = state.runtime.identity
    who = None if hook is None else hook()
    setattr(g, IDENTITY, who)
    try:
        payload = store_request(request, who, state.runtime.secret_headers).to_json()
    except (TypeError, ValueError) as error:
        raise UsageError(f"What the identity hook gave is not JSON: {error}.") from error
    key = view.options.key
    if key is not None and key not in values:
        raise UsageError(f"{view.call.where}: the URL has no {key!r}, which is the key.")
    is_detachable = can_detach(request.environ)
    call = EndpointCall(
        handler=view.handler,
        payload=payload,
        key=None if key is None else str(values[key]),
        idempotency_key=request.headers.get("Idempotency-Key"),
        identity=_caller(who),
        prefer=_preference(state, is_detachable=is_detachable),
        headers={name: request.headers[name] for name in _HANDED_ON if name in request.headers},
        root_path=request.script_root,
    )

    def work() -> Outcome:
        return perform_blocking(state.link, call)

    def respond(outcome: Outcome) -> Response:
        return _answer(state, outcome)

    return respond(wait_for(work, respond, request.get_data()) if is_detachable else work())


def _preference(state: AppState, *, is_detachable: bool) -> str | None:
    """Give what the caller prefers; one who would hold the worker that an invocation needs is not let wait for long."""
    given = ", ".join(request.headers.getlist("Prefer"))
    if not given and not state.settings.is_embedded and not is_detachable and not request.environ["wsgi.multithread"]:
        return f"wait={PATIENCE_S}"
    return given or None


def _caller(who: Any) -> bytes | None:
    """Give what tells callers apart who choose the same Idempotency-Key."""
    found: Any = who
    if found is None:
        found = [request.headers.get(name) for name in ("Authorization", "X-Api-Key", "X-Auth-Token")]
        if current_app.config["SESSION_COOKIE_NAME"] in request.cookies:  # looking at the session changes the answer
            found.extend(session.get(name) for name in _USER_IN_SESSION)
        if not any(found):
            return None
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).digest()


def poll_view(token: str) -> Response:
    """Answer with a result that a caller did not wait for; the view behind `{prefix}/results/…`."""
    state = state_of(current_app)
    state.try_start()
    prefer = ", ".join(request.headers.getlist("Prefer")) or None
    return _answer(state, poll_blocking(state.link, token, prefer, request.script_root))


def _answer(state: AppState, outcome: Outcome) -> Response:
    match outcome:
        case Done():
            response = rebuild(state.app, outcome.body)
        case Accepted():
            response = jsonify(outcome.content)
            response.status_code = 202
        case Failed():
            return give_failure(state.app, outcome)
        case _:
            assert_never(outcome)
    response.headers.update(dict(outcome.headers))
    return response
