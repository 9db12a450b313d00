"""What cannot work is refused when it is registered: each refusal names the culprit and says what to do."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import (
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    Header,
    Request,
    Response,
    Security,
    UploadFile,
    WebSocket,
)
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.security import HTTPBearer, SecurityScopes
from pydantic import BaseModel, Field, SecretStr

from durably import Context, ObjectContext, Service, SyncContext, WorkflowContext, WorkflowSharedContext
from durably.authoring.handlers import HandlerKind, ServiceKind, find_handler
from durably.errors import RegistrationError
from durably_fastapi import Durably, Edge, PerAttempt, Step
from durably_fastapi.endpoint import find_endpoint

bearer = HTTPBearer()


class Login(BaseModel):
    """A body with a secret."""

    name: str
    password: SecretStr


class Hidden(BaseModel):
    """A body with a field that is not written."""

    name: str
    note: str = Field("", exclude=True)


class WithFile(BaseModel):
    """A form with a file."""

    file: UploadFile


@dataclass
class WithSecret:
    """A dataclass with a secret below."""

    logins: list[Login]


class Engine:
    """No data."""


def from_request(request: Request) -> Engine:
    """Read the request and give no data."""
    return Engine()


def reads_request(request: Request) -> str:
    """Read the request."""
    return request.url.path


def both(request: Request, ctx: Context) -> str:
    """Need two things that are never there together."""
    return ""


def with_context(ctx: Context) -> str:
    """Need the context."""
    return ""


def with_object_context(ctx: ObjectContext) -> str:
    """Need an object's context."""
    return ""


def sized(size: str = "x") -> str:
    """Read a query parameter."""
    return size


def authorization(authorization: Annotated[str, Header()]) -> str:
    """Read the header of a credential."""
    return authorization


def keyed(x_key: Annotated[str, Header()]) -> str:
    """Read a header."""
    return x_key


def secured(scopes: SecurityScopes) -> str:
    """Read the scopes."""
    return scopes.scope_str


def looped(value: Annotated[str, Depends(lambda: "")]) -> str:
    """Stand in for a dependency."""
    return value


async def stream() -> AsyncIterator[str]:
    """Stream."""
    yield ""


def lines() -> Iterator[str]:
    """Stream."""
    yield ""


async def returns_stream() -> StreamingResponse:
    """Say that it streams."""
    return StreamingResponse(iter(()))


async def returns_file() -> FileResponse | None:
    """Say that it sends a file."""
    return None


async def takes_request(request: Request) -> None: ...
async def takes_response(response: Response) -> None: ...
async def takes_tasks(tasks: BackgroundTasks) -> None: ...
async def takes_socket(socket: WebSocket) -> None: ...
async def takes_scopes(scopes: SecurityScopes) -> None: ...
async def takes_secret(login: Login) -> None: ...
async def takes_hidden(hidden: Hidden) -> None: ...
async def takes_deep_secret(body: WithSecret) -> None: ...
async def takes_file_in_model(form: WithFile) -> None: ...
async def takes_object(engine: Annotated[Engine, Depends(from_request)]) -> None: ...
async def takes_credential(token: Annotated[Any, Depends(bearer)]) -> None: ...
async def takes_authorization(authorization: Annotated[str, Header()]) -> None: ...
async def takes_cookies(cookie: Annotated[str, Header()]) -> None: ...
async def takes_both(value: Annotated[str, Depends(both)]) -> None: ...
async def forces_security(value: Annotated[str, Security(sized), PerAttempt]) -> None: ...
async def forces_request(value: Annotated[str, Depends(reads_request), PerAttempt]) -> None: ...
async def forces_edge(value: Annotated[str, Depends(with_context), Edge]) -> None: ...
async def steps_context(value: Annotated[str, Depends(with_context), Step]) -> None: ...
async def steps_request(value: Annotated[str, Depends(reads_request), Step]) -> None: ...
async def other_size(value: Annotated[str, Depends(sized)], size: int = 1) -> None: ...
async def other_colour(ctx: SyncContext) -> None: ...
def plain_other_colour(ctx: Context) -> None: ...
def plain_deep_colour(value: Annotated[str, Depends(with_context)]) -> None: ...
async def other_kind(ctx: ObjectContext) -> None: ...
async def deep_kind(value: Annotated[str, Depends(with_object_context)]) -> None: ...
async def shared_kind(name: str, ctx: ObjectContext) -> None: ...
async def unknown(value: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821
async def unknown_result() -> Nowhere: ...  # type: ignore[name-defined] # noqa: F821
async def positional(value: str, /) -> None: ...
async def reserved(durably__key: str) -> None: ...
async def unset(durably_unset: str) -> None: ...
async def nothing_named(value: Annotated[str | int, Depends()]) -> None: ...
async def fine(name: str, ctx: Context) -> None: ...


REFUSED: list[tuple[Callable[..., Any], dict[str, Any], str, str]] = [
    (stream, {}, "generator", "not durable"),
    (lines, {}, "generator", "not durable"),
    (returns_stream, {}, "StreamingResponse", "not durable"),
    (returns_file, {}, "FileResponse", "not durable"),
    (Engine, {}, "class", "over a function"),
    (takes_request, {}, "`request`", "dependency"),
    (takes_response, {}, "`response`", "Return a response"),
    (takes_tasks, {}, "`tasks`", "ctx.run"),
    (takes_socket, {}, "`socket`", "client"),
    (takes_scopes, {}, "`scopes`", "dependency"),
    (takes_secret, {}, "`login`.password is a SecretStr", "pydantic"),
    (takes_hidden, {}, "`hidden`.note is excluded", "pydantic"),
    (takes_deep_secret, {}, "password is a SecretStr", "pydantic"),
    (takes_file_in_model, {}, "`form`.file", "pydantic"),
    (takes_object, {}, "`engine`", "PerAttempt"),
    (takes_credential, {}, "credential", "returns what the endpoint needs"),
    (takes_authorization, {}, "authorization", "dependency"),
    (takes_cookies, {}, "cookie", "dependency"),
    (takes_both, {}, "`request` of tests.fastapi.test_endpoint_registration.both", "edge"),
    (forces_security, {}, "credentials", "edge"),
    (forces_request, {}, "`request`", "edge"),
    (forces_edge, {}, "marked Edge", "mark out"),
    (steps_context, {}, "inside a step", "Step out"),
    (steps_request, {}, "Request", "edge"),
    (other_size, {}, "same name", "Rename"),
    (other_colour, {}, "SyncContext", "Annotate it as Context"),
    (plain_other_colour, {}, "Context", "SyncContext"),
    (plain_deep_colour, {}, "with_context", "SyncContext"),
    (other_kind, {}, "ObjectContext", "key="),
    (deep_kind, {}, "with_object_context", "key="),
    (shared_kind, {"key": "name", "shared": True}, "ObjectContext", "ObjectSharedContext"),
    (unknown, {}, "`value`", "Import the name"),
    (unknown_result, {}, "result", "Import the name"),
    (positional, {}, "positional-only", "Remove"),
    (reserved, {}, "reserved", "begin with"),
    (unset, {}, "reserved", "Rename"),
    (nothing_named, {}, "without naming", "Depends(function)"),
    (fine, {"key": "other"}, "'other'", "name"),
    (fine, {"shared": True}, "shared", "key="),
    (fine, {"key": "name", "shared": True, "workflow": True}, "shared", "key="),
    (fine, {"colour": "red"}, "colour", "There are"),
    (fine, {"service": "with blanks"}, "with blanks", "service="),
    (fine, {"service": "restate_shop"}, "reserved", "service="),
]


@pytest.mark.parametrize(
    ("function", "options", "culprit", "hint"),
    REFUSED,
    ids=[f"{each[0].__name__}{list(each[1].items())}" for each in REFUSED],
)
def test_refusals(function: Callable[..., Any], options: dict[str, Any], culprit: str, hint: str):
    """The text names what cannot work, and the hint says what can."""
    durably = Durably(FastAPI(), url="memory://")
    with pytest.raises(RegistrationError) as caught:
        durably.endpoint(**options)(function)
    assert culprit in caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint


@pytest.mark.skipif("max_concurrency" not in inspect.signature(Depends).parameters, reason="an older FastAPI")
def test_limited_dependencies_are_refused():
    """A limit on concurrent use is FastAPI's, for the time of a request."""
    durably = Durably(FastAPI(), url="memory://")
    options: dict[str, Any] = {"max_concurrency": 1}

    async def limited(value: Annotated[str, Depends(sized, **options)]) -> None: ...

    with pytest.raises(RegistrationError, match="max_concurrency"):
        durably.endpoint(limited)


def test_circles_are_refused():
    """A dependency that depends on itself is refused instead of running for ever."""
    durably = Durably(FastAPI(), url="memory://")

    def circle(value: str = "") -> str:
        return value

    circle.__defaults__ = (Depends(circle),)

    async def work(value: Annotated[str, Depends(circle)]) -> None: ...

    with pytest.raises(RegistrationError, match="depends on itself"):
        durably.endpoint(work)


def test_taken_names():
    """Two endpoints of one name, and an endpoint beside a service of the user's own, are told apart by `service=`."""
    durably = Durably(FastAPI(), url="memory://", services=[Service("mine")])

    def again() -> Callable[..., Any]:
        async def work() -> None: ...

        return work

    durably.endpoint(again())
    with pytest.raises(RegistrationError) as caught:
        durably.endpoint(again())
    assert "service='…'" in str(caught.value)
    durably.endpoint(service="other")(again())
    durably.endpoint(name="renamed")(again())
    with pytest.raises(RegistrationError) as caught:
        durably.endpoint(service="mine")(again())
    assert "service='…'" in str(caught.value)
    edge = durably.endpoint(service="third")(again())
    with pytest.raises(RegistrationError, match="durable already"):
        durably.endpoint(edge)
    with pytest.raises(RegistrationError, match="no endpoint"):
        durably.endpoint("text")  # type: ignore[type-var]


def test_names_and_kinds():
    """Names follow the rules, and options make objects and workflows."""
    durably = Durably(FastAPI(), url="memory://")

    async def work(name: str, ctx: WorkflowSharedContext) -> None: ...

    def handler(**options: Any) -> tuple[str, ServiceKind, str, HandlerKind]:
        found = find_endpoint(durably.endpoint(**options)(fine))
        assert found is not None
        made = found.handler
        assert find_handler(found.edge) is made
        assert find_endpoint(made) is found
        return made.service_name, made.service_kind, made.name, made.kind

    module = "test_endpoint_registration"
    assert handler() == (module, ServiceKind.SERVICE, "fine", HandlerKind.PLAIN)
    by_name = f"{module}_by_name"
    assert handler(key="name") == (by_name, ServiceKind.VIRTUAL_OBJECT, "fine", HandlerKind.EXCLUSIVE)
    shared = handler(key="name", shared=True, name="look")
    assert shared == (by_name, ServiceKind.VIRTUAL_OBJECT, "look", HandlerKind.SHARED)
    assert handler(workflow=True) == ("fine", ServiceKind.WORKFLOW, "run", HandlerKind.WORKFLOW)
    assert handler(workflow=True, key="name", service="w")[:3] == ("w", ServiceKind.WORKFLOW, "run")
    durably.endpoint(workflow=True, service="asks")(work)


def test_options_reach_the_handler():
    """Options of the decorator are those of the handler."""
    from datetime import timedelta

    durably = Durably(FastAPI(), url="memory://")
    edge = durably.endpoint(inactivity_timeout=timedelta(seconds=3), metadata={"team": "a"})(fine)
    found = find_endpoint(edge)
    assert found is not None
    assert found.handler.options.inactivity_timeout == timedelta(seconds=3)
    assert found.handler.metadata == {"team": "a"}


def test_handlers_of_services_have_no_request():
    """Dependencies of service handlers that read a call, or another context, are refused with what to do."""
    shop = Service("shop")

    async def reads(ctx: Context, path: Annotated[str, Depends(reads_request)]) -> None: ...
    async def header(ctx: Context, key: Annotated[str, Depends(keyed)]) -> None: ...
    async def query(ctx: Context, value: Annotated[str, Depends(lambda size: size)]) -> None: ...
    async def kind(ctx: Context, value: Annotated[str, Depends(with_object_context)]) -> None: ...
    async def scopes(ctx: Context, value: Annotated[str, Security(secured)]) -> None: ...
    def colour(ctx: SyncContext, value: Annotated[str, Depends(with_context)]) -> None: ...

    for function, word in [
        (reads, "HTTP"),
        (header, "HTTP"),
        (query, "HTTP"),
        (kind, "ObjectContext"),
        (scopes, "HTTP"),
        (colour, "SyncContext"),
    ]:
        with pytest.raises(RegistrationError) as caught:
            shop.handler()(function)
        assert word in str(caught.value)
        assert caught.value.hint


def test_what_is_allowed():
    """Cookies and headers that are no credentials, and a workflow's own context, are not refused."""
    durably = Durably(FastAPI(), url="memory://")

    @durably.endpoint(workflow=True)
    async def work(theme: Annotated[str, Cookie()], x_a: Annotated[str, Header()], ctx: WorkflowContext) -> None: ...

    assert find_endpoint(work) is not None
