"""The writer's thread: work in, one transaction a batch, results out after the commit.

Owns the thread and the queue. Work is a callable over the open transaction; what it returns is
handed over only once the batch is committed, all results of a batch in one call.

    queue ─► take what waits ─► BEGIN ─► work, work, … ─► COMMIT ─► deliver(batch) ─► checkpoint if it is time
                                           │ raises          │ fails
                                           ▼                 ▼
                                     only it is undone   nothing of the batch is stored, or known to be

Rules
    1. Nothing waits for a batch to fill: what came in while the last one was synced is the next one.
    2. Work that raises is undone alone, and its error is its result. An error that says that the store is busy, full,
       failed, … ends the whole batch: SQLite may have rolled it back already.
    3. Every piece of work gets exactly one result, also when the writer is stopped or the store has failed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.engine.store.contract import Store, Transaction
from durably.errors import StoreError

__all__ = ["MAX_BATCH", "MAX_BATCH_S", "Done", "Work", "Writer"]

T = TypeVar("T")
TokenT = TypeVar("TokenT")

_logger = logging.getLogger("durably.engine.store")

MAX_BATCH: Final = 256
"""Pieces of work in one transaction."""

MAX_BATCH_S: Final = 0.02
"""A transaction takes on no further work after this long, so that the first in it does not wait for the last."""

_IDLE_S: Final = 0.25  # so long without work is a moment for maintenance

Work = Callable[[Transaction], T]
"""Reads and writes the open transaction; nothing of it may be seen outside before its result is delivered."""


@dataclass(slots=True)
class Done(Generic[TokenT]):
    """What became of a piece of work.

    Attributes:
        token: As it was submitted with.
        result: What the work returned; None when it failed.
        error: Why nothing of it is stored, or known to be; None when it is stored.
    """

    token: TokenT
    result: Any = None
    error: Exception | None = None


class Writer(Generic[TokenT]):
    """A thread that does work in transactions.

    Args:
        store: Its writing side is used by this thread alone from `start` on.
        deliver: Gets the results of a batch, in the order of submission, on the writer's thread. It must not block;
            `loop.call_soon_threadsafe` with a callback is what it is made for.
        maintain: Called between batches with whether no work waits; tells whether it wants to be called again soon.
            `SqliteStore.maintain` is one.
        max_batch: Pieces of work in one transaction.
        max_batch_s: Seconds after which a transaction takes on no further work.
    """

    def __init__(
        self,
        store: Store,
        deliver: Callable[[Sequence[Done[TokenT]]], object],
        *,
        maintain: Callable[[bool], bool] | None = None,
        max_batch: int = MAX_BATCH,
        max_batch_s: float = MAX_BATCH_S,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._maintain = maintain
        self._max_batch = max_batch
        self._max_batch_s = max_batch_s
        self._queue: SimpleQueue[tuple[Work[Any], TokenT] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="durably-writer", daemon=True)
        self._is_stopping = False
        self._lock = threading.Lock()  # orders the last submission before the stop

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, work: Work[Any], token: TokenT) -> None:
        """Queue a piece of work; its result is delivered with `token`.

        Raises:
            StoreError: The writer is stopping. The work is not done, and nothing is delivered for it.
        """
        with self._lock:
            if self._is_stopping:
                raise StoreError("The writer has stopped; nothing is stored any more.")
            self._queue.put((work, token))

    def stop(self, timeout_s: float | None = None) -> bool:
        """Do what is queued, then end the thread. Blocks; calling it again is harmless.

        Returns:
            Whether the thread has ended within `timeout_s`.
        """
        with self._lock:
            if not self._is_stopping:
                self._is_stopping = True
                self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """About how many pieces of work wait for the next transaction."""
        return self._queue.qsize()

    # ---- on the thread

    def _run(self) -> None:
        get, get_now = self._queue.get, self._queue.get_nowait
        may_maintain = True
        while True:
            try:
                item = get(timeout=_IDLE_S if may_maintain else None)
            except Empty:
                may_maintain = self._do_maintenance(is_idle=True)
                continue
            may_maintain = True
            batch: list[tuple[Work[Any], TokenT]] = []
            try:
                while item is not None:
                    batch.append(item)
                    if len(batch) >= self._max_batch:
                        break
                    item = get_now()
            except Empty:
                pass
            if batch:
                self._deliver_all(batch)
                self._do_maintenance(is_idle=False)
            if item is None:
                return

    def _deliver_all(self, batch: list[tuple[Work[Any], TokenT]]) -> None:
        """Do a batch in as many transactions as its time needs."""
        while batch:
            results = self._transact(batch)
            batch = batch[len(results) :]
            try:
                if faults.hook is not None:
                    faults.hook(FaultPoint.ACKNOWLEDGE)
                self._deliver(results)
            except Exception:  # the loop may be closed: the work is stored, and found after the next start
                _logger.exception("the results of %d pieces of work could not be delivered", len(results))

    def _transact(self, batch: list[tuple[Work[Any], TokenT]]) -> list[Done[TokenT]]:
        store = self._store
        results: list[Done[TokenT]] = []
        try:
            if faults.hook is not None:
                faults.hook(FaultPoint.BEGIN)
            transaction = store.begin()
            deadline = perf_counter() + self._max_batch_s
            is_alone = len(batch) == 1
            for work, token in batch:
                if results and perf_counter() > deadline:
                    break
                if not is_alone:
                    store.mark()
                done = Done(token)
                results.append(done)
                try:
                    done.result = work(transaction)
                except Exception as error:
                    if isinstance(error, StoreError) and type(error) is not StoreError:
                        raise
                    done.error = error
                    if is_alone:
                        store.rollback()
                        return results
                    store.rollback_to_mark()
            if faults.hook is not None:
                faults.hook(FaultPoint.COMMIT)
            store.commit()
        except Exception as error:
            return self._all_failed(batch, error)
        return results

    def _all_failed(self, batch: list[tuple[Work[Any], TokenT]], error: Exception) -> list[Done[TokenT]]:
        try:
            self._store.rollback()
        except StoreError:
            _logger.exception("a transaction could not be rolled back")
        return [Done(token, error=error) for _, token in batch]

    def _do_maintenance(self, *, is_idle: bool) -> bool:
        if self._maintain is None:
            return False
        try:
            return self._maintain(is_idle)
        except StoreError:
            _logger.exception("the store failed between transactions")
            return False
