"""Plain functions of steps run on threads, also while the process ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest

from durably.authoring.step_threads import execute_in_thread

pytestmark = pytest.mark.anyio

ENDING = """
import atexit
import threading
import time

import durably

shop = durably.Service("Shop")
ended = threading.Event()


@shop.handler()
async def place(ctx: durably.Context) -> str:
    ended.set()
    first = await ctx.run_typed("first", slowly, word="both")
    return f"{first} {await ctx.run_typed('second', str, object='ran')}"


def slowly(word: str) -> str:
    time.sleep(0.3)
    return word


engine = durably.Engine("memory://", services=[shop])
engine.__enter__()
handle = engine.sync_client().send(place, None)
ended.wait(10)


@atexit.register
def end() -> None:
    print(engine.sync_client().attach(handle.invocation_id))
    engine.__exit__(None, None, None)
"""


async def test_the_executor_of_the_loop_is_used():
    """Its size and its threads' names are the application's."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="mine"))
    name = await execute_in_thread(loop, lambda: threading.current_thread().name)
    assert name.startswith("mine")


async def test_a_closed_executor_is_no_end():
    """Results, errors and cancellation are as before; a thread for each does the work."""
    loop = asyncio.get_running_loop()
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    loop.set_default_executor(closed)
    assert await execute_in_thread(loop, lambda: threading.current_thread().daemon)
    with pytest.raises(ZeroDivisionError):
        await execute_in_thread(loop, lambda: 1 // 0)
    release = threading.Event()
    waiting = execute_in_thread(loop, lambda: release.wait(10))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()


async def test_threads_that_cannot_begin_are_told():
    """An initializer that fails is an error of the application, which another thread would hide."""

    def fail() -> None:
        raise OSError("no database")

    loop = asyncio.get_running_loop()
    broken = ThreadPoolExecutor(1, initializer=fail)
    loop.set_default_executor(broken)
    with pytest.raises(BrokenExecutor):
        await execute_in_thread(loop, int)
    with pytest.raises(BrokenExecutor):
        await execute_in_thread(loop, int)


def test_a_loop_that_is_closed_takes_nothing():
    """There would be nobody to tell."""
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        execute_in_thread(loop, int)


def test_invocations_go_on_while_the_process_ends():
    """Between the end of the main thread and what `atexit` knows, steps neither fail nor are tried again."""
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "both ran"), done.stderr
    assert "cannot schedule" not in done.stderr
