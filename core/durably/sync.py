"""Waiting for several durable futures in a `def` handler, and the blocking client.

The same names as in `durably` for `async def` handlers. Get the futures with `ctx.start.<operation>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from durably.authoring.combinators import (
    all_of as _all_of,
)
from durably.authoring.combinators import (
    all_settled as _all_settled,
)
from durably.authoring.combinators import (
    any as _any,
)
from durably.authoring.combinators import (
    completed_of,
    first_named,
    named_futures,
    split_completed,
)
from durably.authoring.combinators import (
    race as _race,
)
from durably.authoring.combined import CombinedFuture, Outcome
from durably.authoring.futures import DurableFuture
from durably.machine import Combinator

if TYPE_CHECKING:
    from durably.client.blocking import create_client

__all__ = [
    "all_of",
    "all_settled",
    "any",
    "as_completed",
    "create_client",
    "gather",
    "race",
    "select",
    "wait_completed",
]

T = TypeVar("T")


def race(*futures: DurableFuture[T]) -> T:
    """Block until the first is settled; give its value or raise its failure."""
    return _race(*futures).result()


def any(*futures: DurableFuture[T]) -> T:
    """Block until the first succeeds; raise the last one's failure when all fail."""
    return _any(*futures).result()


def all_of(*futures: DurableFuture[T]) -> list[T]:
    """Block until all succeed; give the values in the order given, or raise as soon as one fails."""
    return _all_of(*futures).result()


def all_settled(*futures: DurableFuture[Any]) -> list[Outcome[Any]]:
    """Block until all are settled; give how each ended, in the order given."""
    return _all_settled(*futures).result()


def gather(*futures: DurableFuture[Any]) -> list[DurableFuture[Any]]:
    """Block until all are settled, and give the futures themselves, in the order given."""
    if futures:
        CombinedFuture(Combinator.ALL_COMPLETED, futures, list).result()
    return list(futures)


def wait_completed(*args: DurableFuture[Any]) -> tuple[list[DurableFuture[Any]], list[DurableFuture[Any]]]:
    """Block until at least one is settled; give the settled and the others, each in the order given."""
    if not args:
        return [], []
    return split_completed(args, completed_of(args).result())


def as_completed(*futures: DurableFuture[Any]) -> Iterator[DurableFuture[Any]]:
    """Yield each future once it is settled; its `result()` does not block then."""
    remaining = list(futures)
    while remaining:
        completed, remaining = wait_completed(*remaining)
        yield from completed


def select(**kws: DurableFuture[Any]) -> list[Any]:
    """Block until the first is settled; give its name and its value, or raise its failure.

    Raises:
        UsageError: No future was given.
    """
    name, future = first_named(kws, completed_of(named_futures(kws)).result())
    return [name, future.result()]


def __getattr__(name: str) -> Any:
    if name == "create_client":  # imported on use: handlers do not need it, nor the extra that it needs
        from durably.client.blocking import create_client

        return create_client
    raise AttributeError(f"module 'durably.sync' has no attribute {name!r}")
