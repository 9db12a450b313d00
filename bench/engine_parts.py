"""What `bench.engine` measures, each part in a process of its own, which prints one JSON object.

python -m bench.engine_parts durably_steps DIRECTORY
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import sqlite3
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

STEPS = 10
ROUND_SECONDS = 3.0
CONCURRENCIES = (1, 16)
SUSPENDED = 10_000
FINISHED = 100_000
CALLS = 400
SYNCS = 300
PAGE_BYTES = 4096
TURNS = 3


async def steps_per_second(
    workflow: Callable[[int], Awaitable[object]], concurrencies: Sequence[int] = CONCURRENCIES
) -> dict[str, float]:
    """Run workflows for a while, one at a time and several at once, and count their steps."""
    await workflow(1)
    figures: dict[str, float] = {}
    for concurrency in concurrencies:
        end = time.perf_counter() + ROUND_SECONDS
        finished = await asyncio.gather(*[_until(end, workflow) for _ in range(concurrency)])
        figures[str(concurrency)] = sum(finished) * STEPS / (time.perf_counter() - end + ROUND_SECONDS)
    return figures


async def _until(end: float, workflow: Callable[[int], Awaitable[object]]) -> int:
    finished = 0
    while time.perf_counter() < end:
        await workflow(finished)
        finished += 1
    return finished


async def latency_ms(call: Callable[[], Awaitable[object]]) -> float:
    """Give the median duration of a call."""
    seen: list[float] = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        await call()
        seen.append((time.perf_counter() - begun) * 1000)
    return statistics.median(seen[CALLS // 10 :])


def services_of(framework: Any) -> tuple[Any, dict[str, Any]]:
    """Write the measured handlers with `durably` or `restate`; give the service and the handlers by name."""
    bench = framework.Service("Bench")

    async def action() -> int:
        return 1

    async def steps(ctx: Any, number: int) -> int:
        total = 0
        for index in range(STEPS):
            total += await ctx.run_typed(f"step {index}", action)
        return total

    async def trivial(ctx: Any, number: int) -> int:
        return number

    async def wait(ctx: Any, number: int) -> int:
        _, word = ctx.awakeable(type_hint=int)
        total: int = await word
        return total

    handlers: dict[str, Any] = {}
    for function in (steps, trivial, wait):
        function.__annotations__ = {"ctx": framework.Context, "number": int, "return": int}
        handlers[function.__name__] = bench.handler()(function)
    return bench, handlers


def _engine(directory: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    import durably
    from durably.engine.records import EngineOptions

    service, handlers = services_of(durably)
    url = _sqlite_url(directory / "engine.db")
    return durably.Engine(url, services=[service], options=EngineOptions(**options)), handlers


def _sqlite_url(file: Path) -> str:
    return f"sqlite:////{os.path.abspath(file).lstrip('/')}"


async def _call(client: Any, handler: Any, number: int) -> object:
    return await client.service_call(handler, arg=number)


async def durably_steps(directory: Path) -> dict[str, float]:
    """Measure the engine, its file with `synchronous=FULL`, handlers in its process."""
    engine, handlers = _engine(directory)
    async with engine:
        client = engine.client()
        figures = await steps_per_second(partial(_call, client, handlers["steps"]))
        figures["latency_ms"] = await latency_ms(lambda: client.service_call(handlers["trivial"], arg=1))
    return figures


async def dbos_steps(directory: Path) -> dict[str, float]:
    """Measure DBOS on SQLite with what it has by default."""
    dbos: Any = importlib.import_module("dbos")
    url = _sqlite_url(directory / "dbos.sqlite")
    dbos.DBOS(config={"name": "bench", "system_database_url": url, "log_level": "CRITICAL"})

    async def step(index: int) -> int:
        return 1

    recorded = dbos.DBOS.step()(step)

    async def steps(number: int) -> int:
        total = 0
        for index in range(STEPS):
            total += await recorded(index)
        return total

    async def trivial(number: int) -> int:
        return number

    workflow, smallest = dbos.DBOS.workflow()(steps), dbos.DBOS.workflow()(trivial)
    dbos.DBOS.launch()
    figures = await steps_per_second(workflow)
    figures["latency_ms"] = await latency_ms(lambda: smallest(1))
    return figures


async def restate_steps(directory: Path) -> dict[str, float]:
    """Measure a real server and `restate-sdk` on hypercorn, called over HTTP."""
    httpx: Any = importlib.import_module("httpx")
    hypercorn: Any = importlib.import_module("hypercorn.config")
    serve: Any = importlib.import_module("hypercorn.asyncio").serve
    restate: Any = importlib.import_module("restate")
    from durably.testing.ports import free_port
    from durably.testing.server import RestateServer

    service, _ = services_of(restate)
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{free_port()}"]
    config.keep_alive_max_requests = config.h2_max_concurrent_streams = 2**31 - 1
    config.loglevel = "CRITICAL"
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(restate.app([service]), config, shutdown_trigger=stop.wait))
    with RestateServer(directory=directory) as server:
        await asyncio.to_thread(server.register, f"http://{config.bind[0]}")
        async with httpx.AsyncClient(base_url=server.ingress_url, timeout=60) as client:

            async def call(handler: str) -> None:
                (await client.post(f"/Bench/{handler}", json=1)).raise_for_status()

            figures = await steps_per_second(lambda number: call("steps"))
            figures["latency_ms"] = await latency_ms(lambda: call("trivial"))
    stop.set()
    await serving
    return figures


async def suspended_resident(directory: Path) -> dict[str, float]:
    """Measure what many invocations that wait for something cost in resident memory."""
    return await _suspended_memory(directory, _resident_bytes)


async def suspended_traced(directory: Path) -> dict[str, float]:
    """Measure the same in memory that Python allocated."""
    tracemalloc.start()
    return await _suspended_memory(directory, lambda: tracemalloc.get_traced_memory()[0])


async def _suspended_memory(directory: Path, used: Callable[[], int]) -> dict[str, float]:
    engine, handlers = _engine(directory, inactivity_timeout_ms=0)
    warm = SUSPENDED // 50
    async with engine:
        client = engine.client()

        async def suspend(first: int, last: int) -> int:
            for start in range(first, last, 100):
                numbers = range(start, min(start + 100, last))
                await asyncio.gather(*[client.service_send(handlers["wait"], arg=number) for number in numbers])
            while _suspended(directory) < last:  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.05)
            gc.collect()
            return used()

        before = await suspend(0, warm)
        after = await suspend(warm, warm + SUSPENDED)
    return {"bytes": (after - before) / SUSPENDED}


def _suspended(directory: Path) -> int:
    connection = sqlite3.connect(directory / "engine.db")
    (number,) = connection.execute("SELECT count(*) FROM invocations WHERE status = 'suspended'").fetchone()
    connection.close()
    return int(number)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def start_up(directory: Path) -> dict[str, float]:
    """Measure the start of an engine on a new file and on one that it knows, without imports."""
    for module in ("node", "store.sqlite"):
        importlib.import_module(f"durably.engine.{module}")
    (directory / "warm").mkdir()
    engine, _ = _engine(directory / "warm")
    async with engine:
        pass
    figures: dict[str, float] = {}
    for name in ("new_ms", "known_ms"):
        engine, _ = _engine(directory)
        begun = time.perf_counter()
        async with engine:
            figures[name] = (time.perf_counter() - begun) * 1000
    return figures


async def history(directory: Path) -> dict[str, float]:
    """Measure steps with an empty file, and with one that has many finished invocations, in turns."""
    seen: dict[str, list[float]] = {"empty": [], "full": []}
    for name in seen:
        (directory / name).mkdir()
        engine, handlers = _engine(directory / name)
        async with engine:
            await engine.client().service_call(handlers["steps"], arg=1)
        if name == "full":
            _fill(directory / name / "engine.db")
    for _ in range(TURNS):
        for name, found in seen.items():
            engine, handlers = _engine(directory / name)
            async with engine:
                figures = await steps_per_second(partial(_call, engine.client(), handlers["steps"]), CONCURRENCIES[-1:])
            found.append(figures[str(CONCURRENCIES[-1])])
    return {name: statistics.median(found) for name, found in seen.items()}


def _fill(file: Path) -> None:
    """Copy the one finished invocation of a file, with its result and journal, many times."""
    connection = sqlite3.connect(file)
    columns: list[str] = [row[1] for row in connection.execute("PRAGMA table_info(invocations)")]
    (number,) = connection.execute("SELECT max(number) FROM invocations").fetchone()
    new: dict[str, str] = {"number": "i.value + number", "id": "'inv_1' || lower(hex(randomblob(16)))"}
    copied = ", ".join(new.get(column, column) for column in columns)
    series = f"WITH RECURSIVE i(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM i WHERE value < {FINISHED})"
    connection.execute(f"{series} INSERT INTO invocations SELECT {copied} FROM invocations, i WHERE number = {number}")
    results = f"SELECT number + i.value, r.value, r.failure FROM results r, i WHERE number = {number}"
    connection.execute(f"{series} INSERT INTO results {results}")
    entries = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(entries)")).replace(
        "position", "position + (i.value << 20)"
    )
    connection.execute(f"{series} INSERT INTO entries SELECT {entries} FROM entries, i WHERE position >> 20 = {number}")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def fdatasync(directory: Path) -> dict[str, float]:
    """Measure how often in a second a page can be written and synced, alone: what bounds durable steps, one at a time.

    Appending is what a log does first; overwriting is what a write-ahead log does that is used again, and is cheaper
    where the file system keeps a journal of its own.
    """
    file = os.open(directory / "synced", os.O_RDWR | os.O_CREAT)
    figures: dict[str, float] = {}
    for name in ("appended", "overwritten"):
        seen: list[float] = []
        for number in range(SYNCS):
            begun = time.perf_counter()
            os.pwrite(file, b"x" * PAGE_BYTES, number * PAGE_BYTES)
            os.fdatasync(file)
            seen.append(time.perf_counter() - begun)
        figures[name] = 1 / statistics.median(seen)
    os.close(file)
    return figures


PARTS = {
    each.__name__: each
    for each in (
        fdatasync,
        durably_steps,
        dbos_steps,
        restate_steps,
        start_up,
        suspended_resident,
        suspended_traced,
        history,
    )
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # neither side pays for messages that nobody reads
    print(json.dumps(asyncio.run(PARTS[sys.argv[1]](Path(sys.argv[2])))), flush=True)
    os._exit(0)  # DBOS leaves threads that would keep the process
