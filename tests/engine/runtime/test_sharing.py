"""Several engines on one file: one drives, the others hand over, and one of them takes its place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from durably import Engine, HttpError
from durably.engine.lease import DriverLock
from durably.errors import EngineStoppedError, StoreForkedError, StoreLocationError
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


def test_a_lock_has_one_holder(tmp_path: Path):
    """A second lock on the same store waits until the first is given back."""
    path = str(tmp_path / "x.db")
    first, second = DriverLock(path), DriverLock(path)
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.try_acquire()
    first.close()
    assert second.try_acquire()
    second.close()
    second.close()


def test_a_forked_process_neither_holds_nor_frees_the_lock(tmp_path: Path):
    """The child of a fork cannot use its parent's lock, and its end leaves it with the parent."""
    path = str(tmp_path / "x.db")
    first, second = DriverLock(path), DriverLock(path)
    assert first.try_acquire()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            first.try_acquire()
        except StoreForkedError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not second.try_acquire()
    first.close()
    second.close()


def test_a_lock_file_of_others_is_refused(tmp_path: Path):
    """A symbolic link in the place of the lock file is not followed."""
    (tmp_path / "target").write_text("")
    (tmp_path / "x.db-lock").symlink_to(tmp_path / "target")
    with pytest.raises(StoreLocationError):
        DriverLock(str(tmp_path / "x.db"))
