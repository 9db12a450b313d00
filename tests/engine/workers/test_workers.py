"""Server workers that share one file: one drives, all answer, and whoever dies, nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest

from tests.engine.workers.groups import COMMANDS, WORKERS, Group
from tests.engine.workers.services import make_work, read_lease

CLIENTS = 8
KEYS = [f"k{number}" for number in range(24)]
HELD = [f"h{number}" for number in range(4)]
TAKEOVER_S = 5.0
STOP_S = 15.0


def handler_of(key: str) -> str:
    """Give coroutines and threads their share."""
    return "run" if int(key[1:]) % 2 else "block"


def lines(folder: Path) -> list[dict[str, Any]]:
    """Give what was executed, in its order."""
    return sorted((json.loads(line) for line in (folder / "log").read_text().splitlines()), key=lambda line: line["at"])


def check(folder: Path, results: dict[str, list[str]], crashes: int) -> None:
    """Check who executed what, and that each result has the steps that were recorded.

    Whoever executed anything held the lease, and nobody does after the next term began. What is recorded is what was
    executed last: a recorded step that ran again would have left a later one.
    """
    log = lines(folder)
    assert all(line["owner"].endswith(f":{line['pid']}") for line in log), "somebody ran what another one drives"
    terms = [line["epoch"] for line in log]
    assert terms == sorted(terms), "two drove at the same time"
    executed: defaultdict[str, list[str]] = defaultdict(list)
    for line in log:
        if line["kind"] == "step":
            executed[line["token"].partition(":")[0]].append(line["token"])
    for key, tokens in results.items():
        assert [token.partition(":")[0] for token in tokens] == [f"{key}/first", f"{key}/second"]
        for token in tokens:
            attempts = executed[token.partition(":")[0]]
            assert attempts[-1] == token, "a recorded step ran again"
            assert len(attempts) <= 1 + crashes


async def finish(folder: Path, accepted: dict[str, str], held: dict[str, str]) -> dict[str, Any]:
    """Drive the file of a group that is gone, release what is held, and give all results by key."""
    engine = make_work(folder).engine
    async with asyncio.timeout(TAKEOVER_S):
        await engine.__aenter__()
        assert engine.is_driving
    try:
        client = engine.client()
        for key, awakeable in held.items():
            await client.resolve_awakeable(awakeable, f"released {key}")
        results = await asyncio.gather(*(client.attach(identifier) for identifier in accepted.values()))
        return dict(zip(accepted, results, strict=True))
    finally:
        await engine.__aexit__(None, None, None)


def wait_for_held(folder: Path, keys: list[str]) -> dict[str, str]:
    """Wait until these invocations wait for their awakeables; give those."""

    async def look() -> dict[str, str]:
        while True:
            if (folder / "held").exists():
                told = [(line.split()[0], line.split()[1]) for line in (folder / "held").read_text().splitlines()]
                if {key for key, _ in told} >= set(keys):
                    assert len(told) == len(keys), "a recorded step ran again"
                    return dict(told)
            await asyncio.sleep(0.01)

    return asyncio.run(asyncio.wait_for(look(), 20))


@pytest.mark.parametrize("server", COMMANDS)
def test_workers_share_a_file(server: str, tmp_path: Path):
    """Kills of workers lose nothing and repeat nothing recorded, and a server stops soon and loses nothing.

    Clients send to whichever worker answers. A worker that does not drive is killed, then the one that does: another
    one drives within five seconds. Then the server is told to stop while invocations and a call wait.
    """
    group = Group(server, tmp_path)
    clients = ThreadPoolExecutor(CLIENTS)
    try:
        driver = group.driver()
        assert driver in group.workers()
        assert read_lease(tmp_path)[0] == 1

        sending: dict[Future[tuple[int, str]], str] = {}
        for key in KEYS:
            sending[clients.submit(group.send, handler_of(key), key)] = key
        accepted: dict[str, str] = {}
        for sent in as_completed(sending):
            accepted[sending[sent]] = sent.result()[1]
            if len(accepted) == len(KEYS) // 3:
                os.kill(min(group.workers() - {driver}), signal.SIGKILL)
            if len(accepted) == 2 * len(KEYS) // 3:
                os.kill(driver, signal.SIGKILL)
                assert group.wait_for_term(1) < TAKEOVER_S
        answers = list(clients.map(lambda key: group.call(handler_of(key), key), KEYS))
        check(tmp_path, dict(zip(KEYS, (value for _, value in answers), strict=True)), crashes=2)
        again = [group.send(handler_of(key), key)[1] for key in KEYS[:4]]
        assert again == [accepted[key] for key in KEYS[:4]], "an acknowledged request was forgotten"
        group.wait_for_workers(WORKERS)
        answering: set[int] = set()
        while not answering - {group.driver()}:  # the system chooses who accepts
            answering = {pid for pid, _ in clients.map(group.call, ["run"] * CLIENTS, [KEYS[1]] * CLIENTS)}

        waiting = {key: group.send("hold" if number % 2 else "hold_thread", key)[1] for number, key in enumerate(HELD)}
        clients.submit(group.call, "hold", HELD[1]).add_done_callback(lambda call: call.exception())
        held = wait_for_held(tmp_path, HELD)
        group.is_over = True
        assert group.terminate(STOP_S) < STOP_S
        assert asyncio.run(finish(tmp_path, waiting, held)) == {key: f"released {key}" for key in HELD}
        assert wait_for_held(tmp_path, HELD) == held
        # uvicorn shows where the call that it cut was; nobody else has anything to show.
        assert server == "uvicorn" or "Traceback" not in group.output, group.output
    finally:
        group.kill()
        clients.shutdown()


@pytest.mark.parametrize("server", ["gunicorn-preload", "granian"])
def test_a_killed_group_loses_nothing(server: str, tmp_path: Path):
    """The server and all its workers are killed at once while steps run; the next process on the file ends the work."""
    group = Group(server, tmp_path)
    clients = ThreadPoolExecutor(CLIENTS)
    try:
        sent = list(clients.map(lambda key: group.send(handler_of(key), key), KEYS))
        accepted = {key: identifier for key, (_, identifier) in zip(KEYS, sent, strict=True)}
        group.kill()
        results = asyncio.run(finish(tmp_path, accepted, {}))
        check(tmp_path, results, crashes=1)
    finally:
        group.kill()
        clients.shutdown()


def test_a_reload_loses_nothing(tmp_path: Path):
    """A gunicorn that is told to reload takes new workers while clients go on; every call gets its answer."""
    group = Group("gunicorn-gthread", tmp_path)
    clients = ThreadPoolExecutor(CLIENTS)
    try:
        old = group.workers()
        calls = [clients.submit(group.call, handler_of(key), key) for key in KEYS]
        group.signal(signal.SIGHUP)
        results = {key: call.result()[1] for key, call in zip(KEYS, calls, strict=True)}
        group.wait_for(lambda: len(group.workers() - old) == WORKERS and not group.workers() & old)
        assert group.call("run", "k99")[1]
        assert read_lease(tmp_path)[0] > 1
        check(tmp_path, results, crashes=WORKERS)
    finally:
        group.kill()
        clients.shutdown()
