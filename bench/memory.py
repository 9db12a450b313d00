"""Memory of an invocation that is open and waits, on both sides.

    python -m bench.memory

Each side runs in a process of its own: 2,000 invocations wait for an awakeable at once. Given are the growth of the
process (resident memory, which sees native code too) and of what Python allocated, for one invocation. The driver's
own part, which the hand-made endpoint shows, is in all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import tracemalloc
from itertools import islice
from pathlib import Path

import psutil

from bench.driver import Exchange, Message, numbered_journals, scope_of
from bench.handlers import SIDES, app_of
from bench.report import Claim, print_claims

OPEN = 2000
TARGET_KIB = 15.0


async def _grow(side: str, traced: bool) -> float:
    """Give the growth in KiB for one open invocation."""
    app = app_of(side)
    tasks: list[asyncio.Task[None]] = []
    exchanges: list[Exchange] = []

    async def open_all(journals: list[list[Message]]) -> None:
        for journal in journals:
            exchange = Exchange(journal)
            exchanges.append(exchange)
            tasks.append(asyncio.ensure_future(app(scope_of("wait"), exchange.receive, exchange.send)))
        for _ in range(20):
            await asyncio.sleep(0)

    journals = numbered_journals(b"1")
    await open_all(list(islice(journals, 200)))
    requests = list(islice(journals, OPEN))
    gc.collect()
    if traced:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0] if traced else psutil.Process().memory_info().rss
    await open_all(requests)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0] if traced else psutil.Process().memory_info().rss
    if any(task.done() for task in tasks):
        raise RuntimeError(f"{side}: an invocation ended that should wait")
    for exchange in exchanges:
        exchange.close()
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(BaseException):
            await task
    return (after - before) / OPEN / 1024


def measure(side: str, traced: bool) -> float:
    """Measure one side in a fresh process."""
    command = [sys.executable, "-m", "bench.memory", "--one", side, *(["--traced"] if traced else [])]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def claims() -> list[Claim]:
    """Measure resident and Python memory on all sides."""
    found: list[Claim] = []
    for what, traced in (("resident", False), ("allocated by Python", True)):
        kib = {side: measure(side, traced) for side in SIDES}
        title = f"an open invocation, {what}"
        texts = [f"{kib[side]:.1f} KiB" for side in SIDES]
        if traced:
            found.append(Claim(title, *texts, ratio=kib["durably"] / kib["restate"]))
        else:
            found.append(Claim(title, *texts, ratio=kib["durably"], target=TARGET_KIB, unit=" KiB"))
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(asyncio.run(_grow(arguments.one, arguments.traced))))
    else:
        print_claims(f"Memory, {OPEN} invocations open", claims())


if __name__ == "__main__":
    main()
