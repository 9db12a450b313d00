"""An engine that ends, by itself or with its process, and another that goes on with its file."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from durably import Engine, EngineOptions, ManualClock
from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.engine.records import RetryPolicy
from tests.engine.runtime.conftest import eventually
from tests.engine.runtime.services import WEEK, Shop

ROOT = Path(__file__).parents[3]


async def test_a_sleeping_handler_survives_a_restart(file_url: str, shop: Shop, clock: ManualClock):
    """What slept when the engine stopped ends after the next start, without a second run of its first step."""
    async with Engine(file_url, shop.services, clock=clock) as engine:
        handle = await engine.client().send(shop.sleep, "x")
        await eventually(lambda: shop.world.runs["before x"])
    clock.advance(WEEK + timedelta(minutes=1))
    async with Engine(file_url, shop.services, clock=clock) as engine:
        assert await engine.client().attach(handle.invocation_id, type_hint=str) == "slept x"
    assert shop.world.runs == {"before x": 1, "after x": 1}


async def test_everything_goes_on_after_a_restart(file_url: str, shop: Shop, clock: ManualClock):
    """Awakeables, held keys with their queues, delayed sends and workflows are what they were."""
    async with Engine(file_url, shop.services, clock=clock) as engine:
        client = engine.client()
        approval = await client.send(shop.parent, "a")
        held = await client.send(shop.hold, "h", key="k")
        queued = await client.send(shop.add, 3, key="k")
        delayed = await client.send(shop.add, 4, key="k", delay=timedelta(hours=1))
        run = await client.send(shop.place, "shoe", key="1")
        await eventually(lambda: {"a", "h"} <= shop.world.awakeables.keys() and shop.world.runs["reserve shoe"])
    again = Shop()
    async with Engine(file_url, again.services, clock=clock) as engine:
        client = engine.client()
        await client.resolve_awakeable(shop.world.awakeables["a"], "yes")
        await client.resolve_awakeable(shop.world.awakeables["h"], "free")
        await client.call(again.pay, "card", key="1")
        assert await client.attach(approval.invocation_id) == "a: yes"
        assert await client.attach(held.invocation_id) == "free"
        assert await client.attach(queued.invocation_id) == 3
        assert await client.attach(run.invocation_id) == "shoe paid by card"
        clock.advance(timedelta(hours=1, seconds=1))
        assert await client.attach(delayed.invocation_id) == 7
    assert again.world.runs["reserve shoe"] == 0


async def test_results_are_kept(file_url: str, shop: Shop):
    """The result of an idempotent call is served by the next engine."""
    async with Engine(file_url, shop.services) as engine:
        assert await engine.client().call(shop.add, 1, key="k", idempotency_key="i") == 1
    async with Engine(file_url, shop.services) as engine:
        assert await engine.client().call(shop.add, 1, key="k", idempotency_key="i") == 1
        assert await engine.client().call(shop.value, key="k") == 1


async def test_many_timers_survive_a_restart(file_url: str, shop: Shop, clock: ManualClock):
    """A thousand sleeping handlers end after a restart, each once."""
    options = EngineOptions(inactivity_timeout_ms=0)
    async with Engine(file_url, shop.services, clock=clock, options=options) as engine:
        client = engine.client()
        await asyncio.gather(*(client.send(shop.sleep, str(number)) for number in range(1000)))
        await eventually(lambda: len(shop.world.runs) == 1000, 20)
    clock.advance(WEEK + timedelta(minutes=1))
    async with Engine(file_url, shop.services, clock=clock, options=options):
        await eventually(lambda: len(shop.world.runs) == 2000, 20)
    assert set(shop.world.runs.values()) == {1}


async def test_a_defect_stops_one_event_only(url: str, shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """An event that cannot be applied is answered with 500; those of its batch are applied."""
    from durably.engine import runtime
    from durably.engine.events import Invoke

    real = runtime.apply

    def apply(transaction: Any, event: Any, *rest: Any) -> Any:
        if isinstance(event, Invoke) and event.body == b'"bad"':
            raise RuntimeError("a defect")
        return real(transaction, event, *rest)

    monkeypatch.setattr(runtime, "apply", apply)
    async with Engine(url, shop.services) as engine:
        client = engine.client()
        calls = [client.call(shop.hello, name) for name in ("a", "bad", "b")]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[0] == "hello a"
    assert results[2] == "hello b"
    assert getattr(results[1], "status_code", None) == 500


PROGRAM = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from durably import Engine, EngineOptions
    from durably.engine import faults
    from durably.engine.faults import FaultPoint
    from durably.engine.records import RetryPolicy
    from tests.engine.runtime.services import Shop

    def die(after):
        left = [after]
        def at_point(point):
            if point in (FaultPoint.COMMIT, FaultPoint.ACKNOWLEDGE):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        faults.hook = at_point

    async def main(url, after):
        shop = Shop()
        world = shop.world
        note = world.note
        def written(step):
            with open(url.removeprefix("sqlite:///") + ".log", "a") as log:
                log.write(step + chr(10))
            return note(step)
        world.note = written
        async with Engine(url, shop.services) as engine:
            client = engine.client()
            if after:
                die(after)
            values = await asyncio.gather(
                client.call(shop.steps, 5, idempotency_key="steps"),
                *(client.call(shop.call_counter, "k", idempotency_key=str(number)) for number in range(4)),
            )
            print(sorted(values), await client.call(shop.value, key="k"), flush=True)

    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    """
)


def _run(url: str, after: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, url, str(after)],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        cwd=ROOT,
    )


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8, 12, 16])
def test_a_killed_process_loses_nothing(tmp_path: Path, after: int):
    """After `kill -9` before or after any commit the next process ends the same work, and counts each call once."""
    url = f"sqlite:///{tmp_path}/engine.db"
    killed = _run(url, after)
    assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr
    ended = _run(url, 0)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[1, 2, 3, 4, 5] 4"
    log = (tmp_path / "engine.db.log").read_text().split("\n")
    assert {log.count(f"step {number}") for number in range(5)} <= {1, 2}
    assert sum(log.count(f"step {number}") for number in range(5)) <= 6


async def test_a_fault_at_a_commit_fails_what_waited(file_url: str, shop: Shop):
    """A commit that fails for an unknown reason is not acknowledged, and the engine drives again after a while."""
    armed = [False]

    def at_point(point: FaultPoint) -> None:
        if point is FaultPoint.COMMIT and armed[0]:
            armed[0] = False
            raise OSError("the disk is on fire")

    with faults.installed(at_point):
        async with Engine(file_url, shop.services, options=EngineOptions(retry_policy=RetryPolicy())) as engine:
            client = engine.client()
            assert await client.call(shop.hello, "a") == "hello a"
            armed[0] = True
            with pytest.raises(Exception, match="Storing failed"):
                await client.call(shop.add, 1, key="k")
            assert engine.blocked_by is not None
            await eventually(lambda: engine.is_driving, 10)
            assert engine.blocked_by is None
            assert await client.call(shop.value, key="k") == 0
