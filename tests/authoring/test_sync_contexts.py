"""The contexts of `def` handlers have every operation that those of `async def` handlers have."""

from __future__ import annotations

import inspect

import pytest

from durably.authoring import contexts, scopes, sync_calls, sync_contexts

PAIRS = [
    *((getattr(contexts, name), getattr(sync_contexts, f"Sync{name}")) for name in contexts.__all__),
    (scopes.ScopedContext, sync_calls.SyncScopedContext),
]
ONLY_ON_START = {
    # for drivers and futures
    "attempt_finished",
    "broken",
    "decode_later",
    "describe",
    "encoded",
    "end",
    "finish",
    "lose",
    "input_body",
    # plumbing of an attempt
    *contexts.Context.__mro__[-2].__slots__,
}


@pytest.mark.parametrize(("asynchronous", "synchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_no_operation_is_missing(asynchronous: type, synchronous: type) -> None:
    """Each public name of the one is on the other."""
    names = {name for name in dir(asynchronous) if not name.startswith("_")} - ONLY_ON_START
    assert names - set(dir(synchronous)) == set()


@pytest.mark.parametrize(("asynchronous", "synchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_parameters_have_the_same_names_order_and_kinds(asynchronous: type, synchronous: type) -> None:
    """A call that works on the one works on the other."""
    for name, operation in inspect.getmembers(asynchronous, inspect.isfunction):
        if name.startswith("_") or name in ONLY_ON_START:
            continue
        there = [(each.name, each.kind) for each in inspect.signature(operation).parameters.values()]
        here = [(each.name, each.kind) for each in inspect.signature(getattr(synchronous, name)).parameters.values()]
        assert here == there, name


@pytest.mark.parametrize(("asynchronous", "synchronous"), PAIRS[:-1], ids=lambda cls: cls.__name__)
def test_each_context_starts_the_operations_of_its_counterpart(asynchronous: type, synchronous: type) -> None:
    """`ctx.start` of a synchronous context is the asynchronous one of the same kind."""
    assert synchronous.operations is asynchronous
