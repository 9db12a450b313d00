"""Threads for the plain functions that steps of `async def` handlers execute.

Owns what runs them: the executor of the event loop, whose size is the application's to set; and where that takes
nothing more, a thread for each. Python closes all executors before it calls what `atexit` knows, and an engine in the
process still drives invocations until it is told there. Each of their steps would fail, and be tried again, for as long
as the executors wait for the last of their threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Final, TypeVar

__all__ = ["execute_in_thread"]

T = TypeVar("T")

_NAME: Final = "durably-step"


def execute_in_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], T]) -> asyncio.Future[T]:
    """Have a thread call `call`; gives what the loop's tasks wait for.

    Raises:
        RuntimeError: The loop is closed, or no thread can be started.
        BrokenExecutor: The threads of the loop's executor cannot begin.
    """
    try:
        return loop.run_in_executor(None, call)
    except BrokenExecutor:
        raise
    except RuntimeError:
        if loop.is_closed():
            raise
        return _in_own_thread(loop, call)


def _in_own_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], T]) -> asyncio.Future[T]:
    work: Future[T] = Future()

    def run() -> None:
        if not work.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # raised again where it is waited for
            work.set_exception(error)
        else:
            work.set_result(result)

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    return asyncio.wrap_future(work, loop=loop)
