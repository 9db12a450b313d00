"""Several engines on one file: one drives, the others hand over, and one of them takes its place."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from durably import Engine, HttpError
from durably.engine import faults, wire
from durably.engine.faults import FaultPoint
from durably.engine.lease import DriverLock
from durably.errors import ClientError, EngineStoppedError
from tests.engine.runtime.conftest import eventually
from tests.engine.runtime.services import Shop

ROOT = Path(__file__).parents[3]

DRIVER = textwrap.dedent(
    """
    import asyncio, sys
    from durably import Engine
    from tests.engine.runtime.services import Shop

    async def main(url):
        shop = Shop()
        async with Engine(url, shop.services) as engine:
            print("driving" if engine.is_driving else "following", flush=True)
            while not shop.world.awakeables:
                await asyncio.sleep(0.01)
            print("waiting", flush=True)
            await asyncio.sleep(60)

    asyncio.run(main(sys.argv[1]))
    """
)


async def test_the_second_engine_follows(file_url: str):
    """Calls, sends, attachments and failures through a follower are what they are through the driver."""
    first, second = Shop(), Shop()
    async with Engine(file_url, first.services) as driver, Engine(file_url, second.services) as follower:
        assert driver.is_driving
        assert not follower.is_driving
        client = follower.client()
        assert await client.call(second.add, 2, key="k") == 2
        handle = await client.send(second.add, 3, key="k")
        assert await client.attach(handle.invocation_id) == 5
        assert (await client.output(handle.invocation_id)).value == 5
        with pytest.raises(HttpError) as caught:
            await client.call(second.refuse, 409)
        assert caught.value.status_code == 409
        assert sorted(follower.services) == ["Counter", "Order", "Plain"]
        assert await follower.read(lambda reader: reader.lease().epoch) == 1
    assert first.world.log
    assert not second.world.log


async def test_many_requests_share_one_link(file_url: str):
    """Requests of a follower are answered in any order, and one that nobody waits for any more is dropped."""
    shop = Shop()
    async with Engine(file_url, shop.services), Engine(file_url, Shop().services) as follower:
        client = follower.client()
        waiting = asyncio.create_task(client.call(shop.approve, "a"))
        await eventually(lambda: "a" in shop.world.awakeables)
        values = await asyncio.gather(*(client.call(shop.add, 1, key="k") for _ in range(50)))
        assert sorted(values) == list(range(1, 51))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await client.call(shop.hello, "b") == "hello b"


async def test_a_follower_takes_over_when_the_driver_stops(file_url: str):
    """What waited at the old driver goes on at the new one, and requests with an idempotency key do not notice."""
    first, second = Shop(), Shop()
    driver = Engine(file_url, first.services)
    await driver.__aenter__()
    async with Engine(file_url, second.services) as follower:
        client = follower.client()
        repeated = asyncio.create_task(client.call(second.approve, "a", idempotency_key="i"))
        lost = asyncio.create_task(client.call(second.approve, "b"))
        await eventually(lambda: len(first.world.awakeables) == 2)
        await driver.__aexit__(None, None, None)
        with pytest.raises(EngineStoppedError):
            await lost
        await eventually(lambda: follower.is_driving)
        await client.resolve_awakeable(first.world.awakeables["a"], "yes")
        assert await repeated == "a: yes"
        assert await follower.read(lambda reader: reader.lease().epoch) == 2


async def test_a_follower_takes_over_from_a_killed_process(file_url: str):
    """After `kill -9` of the driver another process drives within two seconds, and what waited goes on there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DRIVER,
        file_url,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"driving\n"
        shop = Shop()
        async with Engine(file_url, shop.services) as engine:
            assert not engine.is_driving
            handle = await engine.client().send(shop.approve, "a")
            assert await process.stdout.readline() == b"waiting\n"
            assert not shop.world.awakeables
            process.send_signal(signal.SIGKILL)
            started = time.monotonic()
            await eventually(lambda: engine.is_driving)
            assert time.monotonic() - started < 2
            await eventually(lambda: shop.world.awakeables)
            await engine.client().resolve_awakeable(shop.world.awakeables["a"], "yes")
            assert await engine.client().attach(handle.invocation_id) == "a: yes"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.sleep(0)  # its pipe closes on the loop


async def test_a_fenced_engine_steps_down(file_url: str, tmp_path: Path):
    """An engine whose lock file was removed under it stops writing as soon as another one drives, and follows it."""
    first, second = Shop(), Shop()
    async with Engine(file_url, first.services) as old:
        (tmp_path / "engine.db-lock").unlink()
        async with Engine(file_url, second.services) as new:
            assert new.is_driving
            with pytest.raises(Exception, match="drives"):
                await old.client().call(first.add, 1, key="k")
            await eventually(lambda: not old.is_driving and old.blocked_by is None)
            assert await old.client().call(first.add, 1, key="k") == 1
            assert second.world.log
            assert not first.world.log


async def test_a_follower_that_stops_while_it_takes_over_leaves_nothing(
    file_url: str, caplog: pytest.LogCaptureFixture
):
    """Stopped in the middle of becoming the driver, it ends what it began, and the next process drives."""
    asked = asyncio.Event()

    async def never_ready(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    driver, follower = Engine(file_url, Shop().services), Engine(file_url, application=never_ready)
    await driver.__aenter__()
    await follower.__aenter__()
    await driver.__aexit__(None, None, None)
    await asyncio.wait_for(asked.wait(), 5)
    await follower.__aexit__(None, None, None)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert not [thread for thread in threading.enumerate() if thread.name == "durably-writer"]
    shop = Shop()
    async with Engine(file_url, shop.services) as engine:
        assert engine.is_driving
        assert await engine.client().call(shop.add, 1, key="k") == 1


async def test_a_follower_that_cannot_drive_leaves_it_to_others(file_url: str):
    """A process whose services cannot be registered gives the lock back, and goes on through the one that drives."""
    asked = asyncio.Event()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    shop = Shop()
    driver = Engine(file_url, Shop().services)
    await driver.__aenter__()
    async with Engine(file_url, application=broken) as unable:
        await driver.__aexit__(None, None, None)
        await asyncio.wait_for(asked.wait(), 5)
        await eventually(lambda: not lock_is_held(file_url))
        async with Engine(file_url, shop.services) as able:
            await eventually(lambda: able.is_driving)
            assert not unable.is_driving
            assert await unable.client().call(shop.add, 1, key="k") == 1


async def test_a_takeover_that_fails_is_repaired_once(file_url: str):
    """A disk that fails while a follower becomes the driver is tried again, by one task, with one writer in the end."""
    armed: list[bool] = []

    def at_point(point: FaultPoint) -> None:
        if point is FaultPoint.LOCK_HANDOVER:
            armed.append(not armed)
        elif point is FaultPoint.COMMIT and armed[-1:] == [True]:
            armed.append(False)
            raise OSError("the disk is on fire")

    shop = Shop()
    driver = Engine(file_url, Shop().services)
    await driver.__aenter__()
    async with Engine(file_url, shop.services) as follower:
        with faults.installed(at_point):
            await driver.__aexit__(None, None, None)
            await eventually(lambda: follower.blocked_by is not None)
            await eventually(lambda: follower.is_driving, 10)
        await asyncio.sleep(0.05)
        assert await follower.client().call(shop.add, 1, key="k") == 1
        assert await follower.read(lambda reader: reader.lease().epoch) == 3
        assert len([thread for thread in threading.enumerate() if thread.name == "durably-writer"]) == 1


async def test_what_no_driver_can_answer_is_told(file_url: str, monkeypatch: pytest.MonkeyPatch):
    """An answer that is too long for the link fails the request, though it could be repeated: it would never end."""
    shop = Shop()
    async with Engine(file_url, shop.services) as driver, Engine(file_url, Shop().services) as follower:
        sent = await driver.client().send(shop.hello, "x" * 2000)
        await driver.client().attach(sent.invocation_id)
        monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 1000)
        with pytest.raises(ClientError, match="too long"):
            await asyncio.wait_for(follower.client().attach(sent.invocation_id), 5)


FORKED = textwrap.dedent(
    """
    import os, sys
    from durably import Engine
    from durably.errors import StoreForkedError
    from tests.engine.runtime.services import Shop

    shop = Shop()
    with Engine(sys.argv[1], shop.services) as engine:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                engine.sync_client().call(shop.add, 1, key="k")
            except StoreForkedError as error:
                code = 0 if "post_fork" in str(error) and not engine.is_driving else 2
                engine.__exit__(None, None, None)
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(engine.sync_client().call(shop.add, 1, key="k"))
    """
)


def test_an_engine_does_not_follow_a_fork(file_url: str):
    """In the child of a fork its parent's engine says what to do, instead of waiting for ever; the parent's goes on."""
    forked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, file_url],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert forked.stdout.split() == ["0", "1"], forked.stderr


def lock_is_held(url: str) -> bool:
    """Whether some engine has the lock of a file."""
    lock = DriverLock(url.removeprefix("sqlite:///"))
    try:
        return not lock.try_acquire()
    finally:
        lock.close()
