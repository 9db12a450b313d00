"""Run the workload in children that kill themselves at a fault point: `python -m tests.engine.store.killed FOLDER …`.

Owns a process without threads, so that forking is safe and a child costs milliseconds. Arguments after the folder are
the seed and the highest number of passes through a point at which a child dies. Prints one JSON object a child.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable

from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.engine.store.sqlite import SqliteStore
from tests.engine.store.workload import run

POINTS = (FaultPoint.BEGIN, FaultPoint.STATEMENT, FaultPoint.COMMIT, FaultPoint.ACKNOWLEDGE)


def die_at(point: FaultPoint, passes: int) -> Callable[[FaultPoint], None]:
    """Give a hook that kills the process at the `passes`-th pass through a point."""
    left = passes

    def hook(passed: FaultPoint) -> None:
        nonlocal left
        if passed is point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def work(path: str, seed: int, acks: int) -> None:
    """Do transactions in small checkpoints until the hook kills the process."""
    store = SqliteStore(path)
    first = 1
    while True:
        run(store, 3, seed, lambda number: os.write(acks, f"{number}\n".encode()), first)
        first += 3
        store.checkpoint(truncate=first % 2 == 0)


def kill(path: str, seed: int, point: FaultPoint, passes: int) -> dict[str, object]:
    """Fork a child that dies, and tell what it had acknowledged."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        with faults.installed(die_at(point, passes)):
            work(path, seed, writable)
    os.close(writable)
    with os.fdopen(readable) as acks:
        acknowledged = acks.read().split()
    _, status = os.waitpid(child, 0)
    return {
        "path": path,
        "point": point.value,
        "passes": passes,
        "acknowledged": int(acknowledged[-1]) if acknowledged else 0,
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
    }


def main(folder: str, seed: int, transactions: int, statements: int) -> None:
    """Kill a child at each pass of each point."""
    for point in POINTS:
        last = statements if point is FaultPoint.STATEMENT else transactions
        for passes in range(1, last + 1):
            print(json.dumps(kill(f"{folder}/{point.value}-{passes}.db", seed, point, passes)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
