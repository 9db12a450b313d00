"""Waiting for several durable futures in an `async def` handler.

Owns the functions; `durably.sync` has the same names for `def` handlers. Plain `asyncio.gather`,
`wait` and `TaskGroup` work in handlers too; these wait for futures without a task for each, and tell
the runtime exactly what would let the handler go on.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from durably.authoring.combined import (
    CombinedFuture,
    Outcome,
    all_outcomes,
    all_values,
    first_settled,
    first_succeeded,
)
from durably.authoring.futures import DurableFuture
from durably.errors import UsageError
from durably.machine import Combinator

__all__ = [
    "all_of",
    "all_settled",
    "any",
    "as_completed",
    "completed_of",
    "first_named",
    "gather",
    "named_futures",
    "race",
    "select",
    "split_completed",
    "wait_completed",
]

T = TypeVar("T")


def race(*futures: DurableFuture[T]) -> DurableFuture[T]:
    """Give a future of the first to settle, whether it succeeds or fails.

    Raises:
        UsageError: No future, something else than a durable future, or futures of several contexts.

    Source: FIRST_COMPLETED.
    """
    return CombinedFuture(Combinator.FIRST_COMPLETED, futures, first_settled)


def any(*futures: DurableFuture[T]) -> DurableFuture[T]:
    """Give a future of the first to succeed; it fails with the last one's failure when all fail.

    Source: FIRST_SUCCEEDED_OR_ALL_FAILED.
    """
    return CombinedFuture(Combinator.FIRST_SUCCEEDED_OR_ALL_FAILED, futures, first_succeeded)


def all_of(*futures: DurableFuture[T]) -> DurableFuture[list[T]]:
    """Give a future of all values in the order given; it fails as soon as one fails.

    Source: ALL_SUCCEEDED_OR_FIRST_FAILED.
    """
    return CombinedFuture(Combinator.ALL_SUCCEEDED_OR_FIRST_FAILED, futures, all_values)


def all_settled(*futures: DurableFuture[Any]) -> DurableFuture[list[Outcome[Any]]]:
    """Give a future of how each ended, in the order given; it does not fail because one does.

    Source: ALL_COMPLETED.
    """
    return CombinedFuture(Combinator.ALL_COMPLETED, futures, all_outcomes)


def completed_of(futures: tuple[DurableFuture[Any], ...]) -> DurableFuture[list[DurableFuture[Any]]]:
    """Give a future of those that are settled, in the order given, once at least one is."""
    return CombinedFuture(
        Combinator.FIRST_COMPLETED, futures, lambda children: [child for child in children if child.poll()]
    )


async def gather(*futures: DurableFuture[Any]) -> list[DurableFuture[Any]]:
    """Wait until all are settled, and give the futures themselves, in the order given.

    Await each to have its value or failure; `all_of` gives the values at once.
    """
    if futures:
        await CombinedFuture(Combinator.ALL_COMPLETED, futures, list)
    return list(futures)


async def wait_completed(
    *args: DurableFuture[Any],
) -> tuple[list[DurableFuture[Any]], list[DurableFuture[Any]]]:
    """Wait until at least one is settled; give the settled and the others, each in the order given."""
    if not args:
        return [], []
    completed = await completed_of(args)
    return split_completed(args, completed)


async def as_completed(*futures: DurableFuture[Any]) -> AsyncIterator[DurableFuture[Any]]:
    """Yield each future once it is settled; await it to have its outcome."""
    remaining = list(futures)
    while remaining:
        completed, remaining = await wait_completed(*remaining)
        for future in completed:
            yield future


async def select(**kws: DurableFuture[Any]) -> list[Any]:
    """Wait for the first to settle; give its name and its value, or raise its failure.

    Works well with `match await select(approved=..., timeout=ctx.sleep(...))`.

    Raises:
        UsageError: No future was given.
    """
    name, future = first_named(kws, await completed_of(named_futures(kws)))
    return [name, await future]


def named_futures(named: dict[str, DurableFuture[Any]]) -> tuple[DurableFuture[Any], ...]:
    """Give the futures of `select`, of which there must be one."""
    if not named:
        raise UsageError("select needs at least one future.", hint="Pass futures by name: select(done=..., late=...).")
    return tuple(named.values())


def first_named(
    named: dict[str, DurableFuture[Any]], completed: list[DurableFuture[Any]]
) -> tuple[str, DurableFuture[Any]]:
    """Give the first completed future with its name."""
    winner = completed[0]
    return next((name, future) for name, future in named.items() if future is winner)


def split_completed(
    futures: tuple[DurableFuture[Any], ...], completed: list[DurableFuture[Any]]
) -> tuple[list[DurableFuture[Any]], list[DurableFuture[Any]]]:
    """Split `futures` into those in `completed` and the others."""
    rest = [future for future in futures if not builtins.any(future is one for one in completed)]
    return completed, rest
