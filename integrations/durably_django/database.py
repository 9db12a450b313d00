"""The rules of Django's database connections for durable handlers.

Owns when connections are closed, and the refusal to wait while a transaction is open.

| where | what |
|---|---|
| before an attempt or a step | what is broken or too old is closed, as Django does before a request |
| after an attempt or a step | connections of the thread that ran it are closed |
| a handler is about to wait | connections of the thread that its database code runs in are closed |
| a `def` handler would wait inside `transaction.atomic()` | refused with an error |
| inside an atomic block | nothing is closed |
| a durable view is called inside of one | refused with an error |

Code of `async def` handlers that touches the database runs in the one thread of asgiref's `sync_to_async`, so that all
of them together hold one connection for each database, and none when they wait. How many the threads of `def` handlers
hold is up to `slots`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import close_old_connections, connections

from durably.authoring.location import caller_location
from durably.authoring.runs import is_coroutine_action
from durably.authoring.wait_guards import wait_guard
from durably.errors import UsageError
from durably_django.slots import shared_slot, slots

if TYPE_CHECKING:
    from durably.authoring.handlers import Handler
    from durably.authoring.step_managers import StepInfo, StepManager

__all__ = ["equip", "refuse_open_blocks", "release_connections", "step_connections"]


def release_connections() -> None:
    """Close this thread's connections, but none with an open atomic block."""
    (shared_slot if shared_slot.is_counting else slots).close()


def _open_blocks() -> dict[str, int]:
    """Count the atomic blocks that are open in this thread, for each database that has some."""
    return {
        connection.alias: 1 + len(connection.savepoint_ids)
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block
    }


def refuse_open_blocks(where: str) -> None:
    """Refuse to call a handler, and wait for it, inside of a transaction; those of a `TestCase` do not count.

    Raises:
        UsageError: One is open in this thread.
    """
    for connection in connections.all(initialized_only=True):
        if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
            raise UsageError(
                f"The durable view {where} was called inside transaction.atomic() on database {connection.alias!r}: the"
                " transaction would stay open while the call waits for its result.",
                hint="ATOMIC_REQUESTS does not reach a durable view, unless a decorator without functools.wraps hides"
                " it: add @transaction.non_atomic_requests above. Middleware must end its blocks before the view.",
            )


def _line() -> str:
    """Give the line of the handler that waits."""
    return caller_location(beyond=os.path.dirname(os.path.abspath(__file__))) or "an unknown line"


class _ThreadGuard:
    """Watches the waits of one attempt of a `def` handler."""

    __slots__ = ("_before", "_where")

    def __init__(self, where: str) -> None:
        self._where = where
        self._before = _open_blocks()  # of a test case, which wraps everything in a transaction

    def check(self) -> None:
        for alias, depth in _open_blocks().items():
            if depth > self._before.get(alias, 0):
                raise UsageError(
                    f"{self._where} waits inside transaction.atomic() on database {alias!r}, at {_line()}: the"
                    " transaction would stay open meanwhile, and be rolled back while the journal goes on.",
                    hint="End the block before the durable call, or put the whole block into one ctx.run step.",
                )

    def release(self) -> None:
        release_connections()


@contextmanager
def _blocking_attempt(where: str) -> Generator[None, None, None]:
    close_old_connections()
    token = wait_guard.set(_ThreadGuard(where))
    try:
        with slots.counting():
            yield
    finally:
        wait_guard.reset(token)


class _SharedGuard:
    """Watches the waits of `async def` handlers, on the event loop."""

    __slots__ = ()

    def check(self) -> None:
        """Refuse nothing: a block cannot be open in code that awaits."""

    def release(self) -> None:
        if shared_slot.is_any_taken:
            SyncToAsync.single_thread_executor.submit(release_connections)


_SHARED_GUARD: Final = _SharedGuard()


@asynccontextmanager
async def _awaiting_attempt() -> AsyncGenerator[None, None]:
    await sync_to_async(_begin_shared)()
    token = wait_guard.set(_SHARED_GUARD)
    try:
        yield
    finally:
        wait_guard.reset(token)
        await sync_to_async(shared_slot.end)()


def _begin_shared() -> None:
    close_old_connections()
    shared_slot.begin()


@contextmanager
def _blocking_step() -> Generator[None, None, None]:
    close_old_connections()
    with slots.counting():
        yield


@asynccontextmanager
async def _awaiting_step() -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await sync_to_async(release_connections)()


def step_connections(info: StepInfo) -> StepManager:
    """Give what is entered around one execution of a step, in the thread that runs it."""
    return _awaiting_step() if is_coroutine_action(info.action) else _blocking_step()


def equip(handler: Handler) -> None:
    """Put a handler under the rules; a second time changes nothing."""
    if step_connections in handler.step_managers:
        return
    where = f"{handler.service_name}/{handler.name}"

    def attempt() -> Any:
        return _awaiting_attempt() if handler.is_async else _blocking_attempt(where)

    handler.context_managers = (attempt, *handler.context_managers)
    handler.step_managers = (step_connections, *handler.step_managers)
