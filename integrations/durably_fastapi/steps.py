"""Dependencies of single steps: opened when a step executes, closed right after it.

Owns the handle that stands for a `Step` parameter in the handler, and the managers that open what a step needs: the
handler's `Step` parameters, and the `Depends` parameters of the step's own function.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import Parameter
from types import FunctionType, MappingProxyType
from typing import Any, Final, cast

from fastapi import params

from durably.authoring.current import extension_data_of
from durably.authoring.operations import Operations
from durably.authoring.runs import is_coroutine_action
from durably.authoring.step_managers import StepInfo, StepManager
from durably.errors import RegistrationError, UsageError
from durably_fastapi.analysis import Role, read_parameters
from durably_fastapi.blocking_resolver import BlockingResolver, Loops
from durably_fastapi.dependencies import Argument, Source, step_node
from durably_fastapi.resolver import AsyncResolver, AttemptScope

__all__ = ["StepHandle", "StepResources", "keep_scope", "make_handles"]

_SCOPE: Final = "durably_fastapi.scope"

_opened: ContextVar[Mapping[int, Any]] = ContextVar("durably_fastapi_opened", default=MappingProxyType({}))
"""What the step that executes here has opened, by the identity of the handle that stands for it."""


class StepHandle:
    """Stands for a dependency that each step opens anew: inside a step it is what was opened there."""

    __slots__ = ("__weakref__", "_durably_name")

    def __init__(self, name: str) -> None:
        """Stand for the parameter `name`."""
        object.__setattr__(self, "_durably_name", name)

    def __getattr__(self, name: str) -> Any:
        return getattr(_behind(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_behind(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_behind(self), name)

    def __repr__(self) -> str:
        opened = _opened.get()
        name: str = object.__getattribute__(self, "_durably_name")
        return repr(opened[id(self)]) if id(self) in opened else f"<StepHandle {name}, not in a step>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what was opened."""
        return _behind(self)(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(_behind(self))

    def __len__(self) -> int:
        return len(_behind(self))

    def __iter__(self) -> Iterator[Any]:
        return iter(_behind(self))

    def __aiter__(self) -> Any:
        return aiter(_behind(self))

    def __contains__(self, item: object) -> bool:
        return item in _behind(self)

    def __getitem__(self, key: Any) -> Any:
        return _behind(self)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        _behind(self)[key] = value

    def __delitem__(self, key: Any) -> None:
        del _behind(self)[key]

    def __enter__(self) -> Any:
        return _behind(self).__enter__()

    def __exit__(self, *error: Any) -> Any:
        return _behind(self).__exit__(*error)

    async def __aenter__(self) -> Any:
        return await _behind(self).__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        return await _behind(self).__aexit__(*error)


def _behind(handle: StepHandle) -> Any:
    try:
        return _opened.get()[id(handle)]
    except KeyError:
        name: str = object.__getattribute__(handle, "_durably_name")
        raise UsageError(
            f"`{name}` is opened inside each step, and no step executes here.",
            hint=f"Use it in the action of ctx.run or ctx.run_typed; or leave Step out to have one `{name}` for the"
            " whole attempt.",
        ) from None


def make_handles(arguments: tuple[Argument, ...]) -> dict[str, StepHandle]:
    """Give a handle for each `Step` parameter."""
    return {each.name: StepHandle(each.name) for each in arguments if each.source is Source.STEP}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What the steps of one attempt open, and with what."""

    scope: AttemptScope
    arguments: tuple[Argument, ...]


def keep_scope(context: Operations, scope: AttemptScope, arguments: tuple[Argument, ...]) -> None:
    """Let the steps of an attempt find its scope and its `Step` parameters."""
    extension_data_of(cast("Any", context))[_SCOPE] = _Attempt(
        scope, tuple(each for each in arguments if each.source is Source.STEP)
    )


class StepResources:
    """Makes the managers of steps; a `StepManagerFactory`."""

    __slots__ = ("_find_loop", "_find_overrides")

    def __init__(
        self, find_overrides: Callable[[Operations], Mapping[Callable[..., Any], Callable[..., Any]]], find_loop: Loops
    ) -> None:
        """Take how to find an application's overrides and event loop."""
        self._find_overrides = find_overrides
        self._find_loop = find_loop

    def __call__(self, info: StepInfo) -> StepManager | None:
        """Give what opens the resources of one execution of a step; None if it needs none."""
        attempt: _Attempt | None = (info.context.extension_data or {}).get(_SCOPE)
        handles = attempt.arguments if attempt is not None else ()
        wanted = _wanted_by(info)
        if not wanted and not handles:
            return None
        scope = attempt.scope if attempt is not None else _outside_of_attempts(self._find_overrides(info.context))
        opening = _Opening(scope, handles, wanted, self._find_loop)
        if not info.context.handler.is_async:
            return opening.blocking()
        if is_coroutine_action(info.action) or any(_needs_loop(each) for each in (*handles, *wanted)):
            return opening.on_loop()
        return opening.blocking()  # in the thread that the action runs in


def _outside_of_attempts(overrides: Mapping[Callable[..., Any], Callable[..., Any]]) -> AttemptScope:
    """Give the scope of a handler that has no dependencies itself."""
    return AttemptScope(None, {}, overrides, {})


def _wanted_by(info: StepInfo) -> tuple[Argument, ...]:
    """Find the `Depends` parameters of a step's function that were not given."""
    action = info.action
    if type(action) is FunctionType:  # nearly always, and then nearly always all is given
        code = action.__code__
        if len(info.arguments) >= code.co_argcount and not code.co_kwonlyargcount:
            return ()
    try:
        parameters = list(inspect.signature(action).parameters.values())
    except (TypeError, ValueError):  # a builtin: it asks for nothing
        return ()
    missing = {
        each.name
        for position, each in enumerate(parameters)
        if each.name not in info.keywords
        and (position >= len(info.arguments) or each.kind is Parameter.KEYWORD_ONLY)
        and (each.default is Parameter.empty or isinstance(each.default, params.Depends))
    }
    try:
        return tuple(
            Argument(each, Source.NODE, step_node(each))
            for each in (read_parameters(action, missing) if missing else ())
            if each.role is Role.DEPENDENCY
        )
    except RegistrationError as error:
        raise UsageError(f"Step {info.name!r}: {error.message}", hint=error.hint) from error


def _needs_loop(argument: Argument) -> bool:
    node = argument.node
    return node is not None and (node.kind.is_async or any(_needs_loop(each) for each in node.arguments))


@dataclass(frozen=True, slots=True)
class _Opening:
    """The resources of one execution of a step: those behind handles, and those its function asks for."""

    scope: AttemptScope
    handles: tuple[Argument, ...]
    wanted: tuple[Argument, ...]
    find_loop: Loops

    @contextmanager
    def blocking(self) -> Generator[Mapping[str, Any]]:
        """Open in the calling thread."""
        stack: ExitStack[bool] = ExitStack()
        raised: BaseException | None = None
        with stack:
            resolver = BlockingResolver(self.scope.inside_step(), stack, self.find_loop)
            opened = resolver.arguments(self._behind_handles())
            given = resolver.arguments(self.wanted)
            with self._shown(opened):
                try:
                    yield given
                except BaseException as error:
                    raised = error
                    raise
        if raised is not None:  # a dependency swallowed it, but the step has failed
            raise raised

    @asynccontextmanager
    async def on_loop(self) -> AsyncGenerator[Mapping[str, Any]]:
        """Open on the event loop."""
        raised: BaseException | None = None
        async with AsyncExitStack() as stack:
            resolver = AsyncResolver(self.scope.inside_step(), cast("AsyncExitStack[bool]", stack))
            opened = await resolver.arguments(self._behind_handles())
            given = await resolver.arguments(self.wanted)
            with self._shown(opened):
                try:
                    yield given
                except BaseException as error:
                    raised = error
                    raise
        if raised is not None:
            raise raised

    def _behind_handles(self) -> tuple[Argument, ...]:
        return tuple(Argument(each.declared, Source.NODE, each.node) for each in self.handles)

    @contextmanager
    def _shown(self, opened: Mapping[str, Any]) -> Generator[None]:
        """Let the handles stand for what was opened, for the code that runs in the step."""
        handles = self.scope.handles
        token = _opened.set({**_opened.get(), **{id(handles[name]): value for name, value in opened.items()}})
        try:
            yield
        finally:
            _opened.reset(token)
