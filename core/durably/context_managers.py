"""Resources of an attempt that code below the handler can reach.

Owns `contextvar`, which goes with `invocation_context_managers=`: what such a context manager yields is not handed
to the handler, so it is kept in a context variable.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["contextvar"]

P = ParamSpec("P")
T = TypeVar("T")


class contextvar(Generic[P, T]):
    """Decorates an async context manager function and keeps what it yields as `.value`.

        @contextvar
        @asynccontextmanager
        async def database():
            async with connect() as connection:
                yield connection

        service = Service("orders", invocation_context_managers=[database])
        # in a handler: database.value

    Each task sees the value of the attempt that it belongs to.
    """

    def __init__(self, func: Callable[P, AbstractAsyncContextManager[T]]) -> None:
        """Wrap the function."""
        self.func = func
        self._value: ContextVar[T] = ContextVar(getattr(func, "__name__", "value"))

    @property
    def value(self) -> T:
        """What the context manager yielded.

        Raises:
            LookupError: It is not entered here.
        """
        try:
            return self._value.get()
        except LookupError:
            name = getattr(self.func, "__name__", repr(self.func))
            raise LookupError(f"{name} has no value here: its context manager was not entered.") from None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[None]:
        """Make the context manager that sets the value while it is entered."""

        @asynccontextmanager
        async def entered() -> AsyncGenerator[None, Any]:
            async with self.func(*args, **kwargs) as value:
                token = self._value.set(value)
                try:
                    yield
                finally:
                    self._value.reset(token)

        return entered()
