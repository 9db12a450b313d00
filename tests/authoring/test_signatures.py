"""What a handler's signature says, and that one which cannot work is refused with the parameter's name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import pytest

import durably
from durably.authoring import signatures
from durably.authoring.signatures import HandlerKind, HandlerSignature, ServiceKind, read_signature
from durably.errors import RegistrationError

if TYPE_CHECKING:
    from durably import ObjectContext as OnlyForCheckers
    from durably import SyncContext

KINDS = {
    "service": (ServiceKind.SERVICE, HandlerKind.PLAIN),
    "object": (ServiceKind.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE),
    "object shared": (ServiceKind.VIRTUAL_OBJECT, HandlerKind.SHARED),
    "workflow": (ServiceKind.WORKFLOW, HandlerKind.WORKFLOW),
    "workflow shared": (ServiceKind.WORKFLOW, HandlerKind.SHARED),
}


def _read(function: Callable[..., Any], kind: str = "service") -> HandlerSignature:
    return read_signature(function, *KINDS[kind], "Handler S/h")


async def _plain(ctx: Any) -> None: ...
def _plain_sync(ctx: Any) -> None: ...


@pytest.mark.parametrize(
    ("kind", "asynchronous", "synchronous"),
    [
        ("service", durably.Context, durably.SyncContext),
        ("object", durably.ObjectContext, durably.SyncObjectContext),
        ("object shared", durably.ObjectSharedContext, durably.SyncObjectSharedContext),
        ("workflow", durably.WorkflowContext, durably.SyncWorkflowContext),
        ("workflow shared", durably.WorkflowSharedContext, durably.SyncWorkflowSharedContext),
    ],
)
def test_the_kind_decides_the_context(kind: str, asynchronous: type[Any], synchronous: type[Any]) -> None:
    """Without an annotation the kind of service and handler, and `async`, choose one of the ten contexts."""
    assert asynchronous is _read(_plain, kind).context_class
    assert _read(_plain, kind).is_async
    assert synchronous is _read(_plain_sync, kind).context_class
    assert not _read(_plain_sync, kind).is_async


async def _asks_context(ctx: durably.Context) -> None: ...
async def _asks_object(ctx: durably.ObjectContext) -> None: ...
async def _asks_object_shared(ctx: durably.ObjectSharedContext) -> None: ...
async def _asks_workflow(ctx: durably.WorkflowContext) -> None: ...
async def _asks_workflow_shared(ctx: durably.WorkflowSharedContext) -> None: ...
async def _asks_either(ctx: durably.Context | durably.ObjectContext) -> None: ...
async def _asks_annotated(ctx: Annotated[durably.Context, "note"]) -> None: ...


ADMITTED = {
    "service": {_asks_context, _asks_either, _asks_annotated},
    "object": {_asks_context, _asks_object, _asks_object_shared, _asks_either, _asks_annotated},
    "object shared": {_asks_context, _asks_object_shared, _asks_either, _asks_annotated},
    "workflow": {
        _asks_context,
        _asks_object,
        _asks_object_shared,
        _asks_workflow,
        _asks_workflow_shared,
        _asks_either,
        _asks_annotated,
    },
    "workflow shared": {_asks_context, _asks_object_shared, _asks_workflow_shared, _asks_either, _asks_annotated},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_that_the_kind_does_not_give_is_refused(kind: str) -> None:
    """A handler may ask for less than its kind gives, never for more; the refusal names the parameter and a cure."""
    for function in ADMITTED["workflow"]:
        if function in ADMITTED[kind]:
            _read(function, kind)
        else:
            with pytest.raises(RegistrationError, match=r"Handler S/h: parameter `ctx` is a .*Annotate it as"):
                _read(function, kind)


async def _async_with_sync(ctx: SyncContext) -> None: ...
def _sync_with_async(ctx: durably.Context) -> None: ...
async def _no_parameters() -> None: ...
async def _only_keyword(*, ctx: Any) -> None: ...
async def _only_star(*args: Any) -> None: ...
async def _star_after(ctx: Any, *rest: Any) -> None: ...
async def _star_after_input(ctx: Any, order: Any, *rest: Any) -> None: ...
async def _third(ctx: Any, order: Any, customer: Any) -> None: ...
async def _keyword_only(ctx: Any, order: Any, *, customer: Any) -> None: ...
async def _keyword_only_input(ctx: Any, *, order: Any) -> None: ...
async def _context_missing(order: dict[str, int]) -> None: ...
async def _context_second(order: str, ctx: durably.Context) -> None: ...
def _generator(ctx: Any) -> Iterator[int]:
    yield 1


async def _async_generator(ctx: Any) -> AsyncIterator[int]:
    yield 1


async def _unknown_input(ctx: Any, order: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
async def _unknown_result(ctx: Any) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


class NotAFunction:
    pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_async_with_sync, "`ctx` is a SyncContext, which an `async def` handler cannot use.*Context"),
        (_sync_with_async, "`ctx` is a Context, which a `def` handler cannot use.*SyncContext"),
        (_no_parameters, "takes no context"),
        (_only_keyword, "takes no context"),
        (_only_star, r"takes no context.*functools\.wraps"),
        (_star_after, r"`\*rest` cannot be filled"),
        (_star_after_input, r"`\*rest` cannot be filled"),
        (_third, "`customer` has no default.*one model"),
        (_keyword_only, "`customer` has no default"),
        (_keyword_only_input, "`order` has no default"),
        (_context_missing, r"first parameter is the context, but `order` is annotated as dict\[str, int\]"),
        (_context_second, "first parameter is the context, but `order` is annotated as str"),
        (_generator, "generator function"),
        (_async_generator, "generator function"),
        (_unknown_input, "parameter `order`: The annotation 'Nowhere' cannot be evaluated"),
        (_unknown_result, "the result: The annotation 'Nowhere' cannot be evaluated"),
        (NotAFunction, "class NotAFunction"),
        (3, "3 is not a function"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:30]),
)
def test_signatures_that_cannot_work_are_refused(function: Any, message: str) -> None:
    """Each mistake is refused when the handler is registered, with the parameter's name and what to do."""
    with pytest.raises(RegistrationError, match=f"(?s)Handler S/h.*{message}"):
        _read(function)


async def _with_defaults(ctx: Any, order: int = 3, retries: int = 5, *, verbose: bool = False, **more: Any) -> str: ...  # type: ignore[empty-body]


def test_parameters_with_defaults_stay_theirs() -> None:
    """Further parameters may exist if they have defaults; the second one is the input, its default included."""
    signature = _read(_with_defaults)

    assert signature.input is not None
    assert (signature.input.name, signature.input.default) == ("order", 3)
    assert (int, str) == (signature.input_type, signature.output_type)


async def _for_checkers_only(ctx: OnlyForCheckers) -> None: ...


def test_a_context_imported_for_checkers_is_known_by_name() -> None:
    """`if TYPE_CHECKING: from durably import SyncContext` is enough for the context, under its own name."""

    def handler(ctx: SyncContext) -> None: ...

    assert durably.SyncContext is _read(handler).context_class
    with pytest.raises(RegistrationError, match="OnlyForCheckers"):
        _read(_for_checkers_only, "object")


def test_models_inside_functions_are_found() -> None:
    """With postponed annotations, types defined beside the handler in a function are found, closures or not."""

    class Local:
        pass

    class Result:
        pass

    async def handler(ctx: durably.Context, order: Local) -> list[Result]: ...  # type: ignore[empty-body]

    signature = _read(handler)
    assert Local is signature.input_type
    assert list[Result] == signature.output_type


def test_text_inside_generics_is_evaluated() -> None:
    """A quoted name inside a type is resolved as well."""
    annotation = list["durably.Context"]

    async def handler(ctx: Any, order: Any) -> None: ...

    handler.__annotations__["order"] = annotation
    assert list[durably.Context] == _read(handler).input_type


def _wrap(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _returns_awaitable(ctx: durably.Context, n: int) -> Awaitable[str]: ...  # type: ignore[empty-body]
async def _takes_number(ctx: durably.Context, n: int) -> str: ...  # type: ignore[empty-body]
def _takes_number_sync(ctx: durably.SyncContext, n: int) -> str: ...  # type: ignore[empty-body]


class CallableHandler:
    async def __call__(self, ctx: durably.Context, n: int) -> str: ...  # type: ignore[empty-body]

    async def method(self, ctx: durably.Context, n: int) -> str: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (_takes_number, True),
        (_takes_number_sync, False),
        (_returns_awaitable, True),
        (_wrap(_takes_number), True),
        (_wrap(_takes_number_sync), False),
        (functools.partial(_takes_number), True),
        (CallableHandler(), True),
        (CallableHandler().method, True),
    ],
    ids=["async", "sync", "awaitable", "wrapped", "wrapped sync", "partial", "object", "method"],
)
def test_all_kinds_of_callables(function: Any, is_async: bool) -> None:
    """Wrapped functions, partials, methods and callable objects are _read like _plain functions."""
    signature = _read(function)

    assert (is_async, int, str) == (signature.is_async, signature.input_type, signature.output_type)


class Injected:
    """Stands for a framework's dependency."""


class InjectingBinder:
    """Supplies parameters whose default is an `Injected`."""

    def claims(self, parameter: inspect.Parameter, annotation: Any) -> bool:
        return isinstance(parameter.default, Injected)

    def bind(
        self,
        function: Callable[..., Any],
        signature: HandlerSignature,
        claimed: tuple[signatures.BoundParameter, ...],
    ) -> Callable[..., Any]:
        names = [each.parameter.name for each in claimed]

        async def call(*args: Any) -> Any:
            return await function(*args, **dict.fromkeys(names, "injected"))

        return call


@pytest.mark.anyio
async def test_binders_supply_further_parameters() -> None:
    """An adapter can claim parameters by their marker, before or after the input, and supplies them on each call."""
    binder = InjectingBinder()
    signatures.add_binder(binder)
    try:
        service = durably.Service("bound")

        @service.handler()
        async def handler(ctx: durably.Context, order: int, db: Any = Injected(), *, user: Any = Injected()) -> str:  # noqa: B008
            return f"{order} {db} {user}"

        @service.handler()
        async def without_input(ctx: durably.Context, db: Any = Injected()) -> str:  # noqa: B008
            return f"{db}"
    finally:
        signatures.remove_binder(binder)

    assert await service.handlers["handler"].invoke(None, 1) == "1 injected injected"
    assert not service.handlers["without_input"].takes_input
    assert await service.handlers["without_input"].invoke(None, None) == "injected"
