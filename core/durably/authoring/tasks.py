"""Which tasks belong to a handler: the task factory of event loops that run handlers.

The factory is installed on the app's event loop when the first handler runs there. It creates tasks
with the factory that was there before, and notes those that a handler makes outside its steps. Tasks
that a step makes are the step's own business.

It also mends one thing: `asyncio.as_completed` puts what it is given into a set, and makes the tasks
in the order of that set, which differs from attempt to attempt. Here they are made in the order given.

Source: ours, docs/concepts/concurrency.md.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Coroutine, Sequence
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

from durably.authoring.current import current_attempt, in_step
from durably.authoring.turns import Turns

if TYPE_CHECKING:
    from durably.authoring.async_driver import AsyncDriver
    from durably.authoring.contexts import Context

__all__ = ["HandlerTaskFactory", "note_tasks_of_handlers"]

_AS_COMPLETED_DEPTH: Final = 5  # frames between the making of a task and `as_completed`


def _codes_of_as_completed() -> frozenset[CodeType]:
    makers: list[Any] = [asyncio.as_completed, getattr(asyncio.as_completed, "__init__", None)]
    iterator = getattr(asyncio.tasks, "_AsCompletedIterator", None)
    if iterator is not None and isinstance(iterator.__init__, FunctionType):
        makers.append(iterator.__init__)
    return frozenset(maker.__code__ for maker in makers if hasattr(maker, "__code__"))


_AS_COMPLETED: Final = _codes_of_as_completed()
"""Code of `asyncio.as_completed` in the Pythons that we support: a function, since 3.13 one that makes an iterator."""


class HandlerTaskFactory:
    """Creates tasks as before, and notes those that handlers make."""

    __slots__ = ("_created", "_previous")

    def __init__(self, previous: Any) -> None:
        """Create with `previous`, or as asyncio does when there is none."""
        self._previous = previous
        self._created: dict[int, tuple[Any, asyncio.Future[Any]]] = {}

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Future[Any]:
        """Create a task for `coroutine`."""
        context = current_attempt.get()
        if context is None or in_step.get() or context.ended is not None or context.machine.is_closed:
            return self._create(loop, coroutine, options)
        variables = options.get("context")
        if variables is not None and (variables.get(current_attempt) is not context or variables.get(in_step, False)):
            return self._create(loop, coroutine, options)
        if self._created:
            created = self._created.pop(id(coroutine), None)
            if created is not None and created[0] is coroutine:
                return created[1]
        for other in _waits_of_as_completed(coroutine):
            if inspect.iscoroutine(other) and other is not coroutine:
                self._created[id(other)] = (other, self._create_noted(loop, other, options, context))
            elif other is coroutine:
                own = self._create_noted(loop, coroutine, options, context)
                self._created[id(coroutine)] = (coroutine, own)
        created = self._created.pop(id(coroutine), None)
        return created[1] if created is not None else self._create_noted(loop, coroutine, options, context)

    def _create(self, loop: asyncio.AbstractEventLoop, coroutine: Any, options: dict[str, Any]) -> asyncio.Future[Any]:
        if self._previous is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        task: asyncio.Future[Any] = self._previous(loop, coroutine, **options)
        return task

    def _create_noted(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, options: dict[str, Any], context: Context
    ) -> asyncio.Future[Any]:
        turns = _turns_of(context)  # before the task: an eager one waits while it is made
        task = self._create(loop, coroutine, options)
        if isinstance(task, asyncio.Task) and not task.done():
            turns.add(task)
        else:
            turns.retire()
        return task


def _waits_of_as_completed(coroutine: Any) -> Sequence[Any]:
    """Give everything that `asyncio.as_completed` was given, if it is what makes a task of `coroutine`.

    It goes through a set, whose order differs from attempt to attempt; the list that it was given does not.
    """
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] # documented, and nothing else tells who makes a task
    for _ in range(_AS_COMPLETED_DEPTH):
        if frame.f_code in _AS_COMPLETED:
            given: object = frame.f_locals.get("fs", frame.f_locals.get("aws"))
            waits = cast("Sequence[Any]", given) if isinstance(given, (list, tuple)) else ()
            return waits if any(each is coroutine for each in waits) else ()
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ()


def _turns_of(context: Context) -> Turns:
    """Give what lets the tasks of the attempt take turns, from now on."""
    turns = context.turns
    if turns is None:
        turns = context.turns = Turns(cast("AsyncDriver", context.driver), context)
    return turns


def note_tasks_of_handlers(loop: asyncio.AbstractEventLoop) -> None:
    """Install the task factory on `loop`, once."""
    previous: Any = loop.get_task_factory()
    if type(previous) is not HandlerTaskFactory:
        factory: Any = HandlerTaskFactory(previous)
        loop.set_task_factory(factory)
