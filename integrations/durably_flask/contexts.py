"""Flask's contexts around what the runtime runs: attempts, and steps within them.

Owns which application they belong to, and what `g` is in a step. An attempt gets an application context of its own; so
does every executed step, and what the step opened is torn down right after it, as Flask-SQLAlchemy's sessions are.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from flask import Flask, g, has_app_context
from flask.ctx import _AppCtxGlobals  # pyright: ignore[reportPrivateUsage]

from durably.authoring.step_managers import StepInfo, StepManagerFactory

if TYPE_CHECKING:
    from durably_flask.state import AppState

__all__ = ["attempt_context", "current_state", "step_context"]

current_state: ContextVar[AppState | None] = ContextVar("durably_flask_state", default=None)
"""Whose attempt runs here, or None."""

_MISSING: Final = object()


class StepGlobals(_AppCtxGlobals):
    """`g` within a step: reads what the attempt's `g` has, and keeps what is set to itself."""

    def __init__(self, outer: Any) -> None:
        self.__dict__["_durably_outer"] = outer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_durably_outer"], name)

    def get(self, name: str, default: Any = None) -> Any:
        """Give an attribute, of the step or of the attempt."""
        found = self.__dict__.get(name, _MISSING)
        return self.__dict__["_durably_outer"].get(name, default) if found is _MISSING else found

    def __contains__(self, item: str) -> bool:
        return item in self.__dict__ or item in self.__dict__["_durably_outer"]

    def __iter__(self) -> Iterator[str]:
        own = [name for name in self.__dict__ if name != "_durably_outer"]
        return iter(dict.fromkeys([*own, *self.__dict__["_durably_outer"]]))


class _AttemptGlobals:
    """`g` on an attempt: says why something is missing that a function before the request has set."""

    def __getattr__(self, name: str) -> Any:
        inherited: Any = super()
        try:
            return inherited.__getattr__(name)
        except AttributeError:
            pass
        raise AttributeError(
            f"g.{name} is not set on this attempt: functions before requests ran when the call arrived. Set it with "
            "Durably(identity=..., restore=...), or run them with @durably.endpoint(before_request=True)."
        )


@cache
def _globals_of_attempt(kind: type[_AppCtxGlobals]) -> type[_AppCtxGlobals]:
    return cast("type[_AppCtxGlobals]", type("AttemptGlobals", (_AttemptGlobals, kind), {}))


@contextmanager
def attempt_context(state: AppState) -> Generator[None, None, None]:
    """Be in the application, with a fresh `g`, for an attempt."""
    token = current_state.set(state)
    try:
        context = state.app.app_context()
        context.g = _globals_of_attempt(state.app.app_ctx_globals_class)()
        with context:
            yield
    finally:
        current_state.reset(token)


def _current_globals() -> Any:
    proxy: Any = g
    return proxy._get_current_object()


def step_context(app: Flask) -> StepManagerFactory:
    """Give what makes the application context of each step."""

    @contextmanager
    def enter() -> Generator[Mapping[str, Any] | None, None, None]:
        outer: Any = _current_globals() if has_app_context() else app.app_ctx_globals_class()
        context = app.app_context()
        context.g = StepGlobals(outer)
        with context:
            yield None

    def make(info: StepInfo) -> AbstractContextManager[Mapping[str, Any] | None]:
        return enter()

    return make
