"""The bounded pool of daemon threads."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

import pytest

from durably.hosting import thread_pool
from durably.hosting.thread_pool import ThreadPool


def test_a_free_thread_is_reused():
    """One job after the other needs one thread."""
    pool = ThreadPool(4, "reuse")
    names: queue.Queue[str] = queue.Queue()
    for _ in range(20):
        assert pool.submit(lambda: names.put(threading.current_thread().name))
        names.get(timeout=5)
        _wait_until(lambda: pool.idle == 1)
    assert pool.thread_count == 1


def test_threads_are_daemons_with_a_name():
    """A handler in a long call cannot keep a stopped server alive, and is found in a stack dump."""
    pool = ThreadPool(1, "named")
    seen: queue.Queue[threading.Thread] = queue.Queue()
    pool.submit(lambda: seen.put(threading.current_thread()))
    thread = seen.get(timeout=5)
    assert thread.daemon
    assert thread.name == "named-1"


def test_a_full_pool_queues_in_order():
    """No more than `size` run at once; the rest run in the order given and nothing is lost."""
    pool = ThreadPool(2, "full")
    gate = threading.Event()
    done: queue.Queue[int] = queue.Queue()
    running = threading.Semaphore(0)

    def blocked() -> None:
        running.release()
        gate.wait(5)

    assert pool.submit(blocked)
    assert pool.submit(blocked)
    running.acquire(timeout=5)
    running.acquire(timeout=5)
    queued = [pool.submit(lambda index=index: done.put(index)) for index in range(10)]
    assert queued == [False] * 10
    assert pool.queued == 10
    assert pool.thread_count == 2
    gate.set()
    assert sorted(done.get(timeout=5) for _ in range(10)) == list(range(10))
    assert pool.queued == 0


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch):
    """A pool that is not used any more holds no thread, and starts one again when it is."""
    monkeypatch.setattr(thread_pool, "_IDLE_LIMIT_S", 0.02)
    pool = ThreadPool(2, "idle")
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(5)
    _wait_until(lambda: pool.thread_count == 0)
    done.clear()
    assert pool.submit(done.set)
    assert done.wait(5)


@pytest.mark.parametrize("error", [RuntimeError("on purpose"), SystemExit(1)])
def test_a_job_that_raises_is_logged_and_keeps_its_thread(error: BaseException, caplog: pytest.LogCaptureFixture):
    """The pool does not shrink, and nothing is lost silently."""
    pool = ThreadPool(1, "raising")

    def fail() -> None:
        raise error

    pool.submit(fail)
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(5)
    assert pool.thread_count == 1
    assert "raising" in caplog.text


def test_a_forked_child_starts_afresh():
    """No thread survives a fork, so a child must not wait for its parent's."""
    pool = ThreadPool(1, "fork")
    done = threading.Event()
    pool.submit(done.set)
    assert done.wait(5)
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent
        again = threading.Event()
        pool.submit(again.set)
        os._exit(0 if again.wait(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = threading.Event()
    for _ in range(1000):
        if condition():
            return
        deadline.wait(0.005)
    raise AssertionError("the condition did not come true within 5 s")
