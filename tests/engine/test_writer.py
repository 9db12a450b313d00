"""The thread that waits for the disk."""

from __future__ import annotations

import asyncio
import threading

from durably.engine.writer import Writer


async def test_jobs_are_done_in_order_and_all_of_them():
    """Every job that was put before the stop is done, one after the other, and not on the loop's thread."""
    writer, done = Writer(), list[tuple[int, bool]]()
    here = threading.get_ident()
    writer.start()
    for number in range(50):
        writer.put(lambda number=number: done.append((number, threading.get_ident() == here)))
    writer.stop()
    await asyncio.wait_for(writer.join(), 5)
    assert done == [(number, False) for number in range(50)]


async def test_a_thread_that_waits_does_not_keep_the_process():
    """An engine that nobody closed does not hang the interpreter at its end."""
    before = set(threading.enumerate())
    writer = Writer()
    writer.start()
    [thread] = [each for each in set(threading.enumerate()) - before if each.name == "durably-writer"]
    assert thread.daemon
    writer.stop()
    await asyncio.wait_for(writer.join(), 5)
    assert not thread.is_alive()
