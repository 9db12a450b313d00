"""Kills the engine and the services that it drives over HTTP, two processes, at the same moment, many times.

Owns the two processes of a round and the moment of their death: a pass of one of the engine's fault points, or right
after a step was executed and before anybody was told. Both are started again on the same file and the same port,
sometimes killed a second time, and then left alone; what came of it is judged as for the engine alone.

    python -m tests.engine.crash.pair DIRECTORY SETTING ROUNDS SEED

prints one line of JSON for each round. Everything is imported once; a round forks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import hypercorn.asyncio
from hypercorn.config import Config

import durably
from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.testing.oracles import Finding, check_image
from durably.testing.ports import free_port
from durably.testing.store_images import StoreImage
from tests.engine.crash.scenario import SETTINGS, append, play, services
from tests.engine.crash.zygote import has_schema, judge, lines, warm_up

PATIENCE_SECONDS = 30
STEPS = 4  # that an undisturbed run executes
SECOND_DEATH = 0.3  # how often a round has one

Moment = tuple[str, int]
"""`engine` and the pass of a fault point, or `step` and the number of the execution."""


def serve(directory: Path, port: int, moment: Moment | None) -> NoReturn:
    """Serve the services until killed; at the moment, kill the engine and this process."""
    executed = 0

    def at_step(path: Path, line: str) -> None:
        nonlocal executed
        append(path, line)
        executed += 1
        if moment == ("step", executed):
            die(directory, "engine")

    async def run() -> None:
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        config.loglevel = "CRITICAL"
        application: Any = durably.app(services(directory / "effects", append=at_step))
        await hypercorn.asyncio.serve(application, config, mode="asgi", shutdown_trigger=asyncio.Event().wait)

    asyncio.run(run())
    os._exit(1)


def drive(directory: Path, setting: str, port: int, moment: Moment | None) -> NoReturn:
    """Play the scenario; at the moment, kill the services and this process."""
    passed = 0

    def at_point(point: FaultPoint) -> None:
        nonlocal passed
        passed += 1
        if moment == ("engine", passed):
            die(directory, "services")

    faults.hook = at_point
    playing = play(directory, SETTINGS[setting], endpoint=f"http://127.0.0.1:{port}")
    seen = asyncio.run(asyncio.wait_for(playing, PATIENCE_SECONDS))
    (directory / "seen").write_text(json.dumps(seen))
    (directory / "passed").write_text(str(passed))
    os._exit(0)


def die(directory: Path, other: str) -> NoReturn:
    """Kill the other process and this one; the other first, because nothing follows one's own death."""
    append(directory / "died", other)
    with suppress(ProcessLookupError):
        os.kill(int((directory / f"{other}.pid").read_text()), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def forked(directory: Path, name: str, work: Callable[[], NoReturn]) -> int:
    """Do work in a child; give its process id, which is in a file too."""
    child = os.fork()
    if child == 0:
        try:
            (directory / f"{name}.pid").write_text(str(os.getpid()))
            os.dup2(os.open(directory / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)
            logging.basicConfig(level=logging.ERROR, force=True)
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def run(directory: Path, setting: str, port: int, moment: Moment | None) -> int:
    """Play in two processes until the engine has ended, or both are dead; give the engine's exit code."""
    serving = forked(directory, "services", lambda: serve(directory, port, moment))
    wait_for(port)
    driving = forked(directory, "engine", lambda: drive(directory, setting, port, moment))
    code = os.waitstatus_to_exitcode(os.waitpid(driving, 0)[1])
    os.kill(serving, signal.SIGKILL)
    os.waitpid(serving, 0)
    return code


def wait_for(port: int) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.005)
    raise TimeoutError("The services are not served.")


def play_round(directory: Path, setting: str, moments: list[Moment]) -> dict[str, Any]:
    """Kill both at each of the moments, one run for each, then play to the end, and give the verdict."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    file, port = directory / "engine.db", free_port()
    before: StoreImage | None = None
    executed = 0
    findings: list[Finding] = []
    for moment in moments:
        if run(directory, setting, port, moment) == 0:
            break  # it ended before its moment came
        before = StoreImage.read(file) if has_schema(file) else None
        executed = len(lines(directory / "effects"))
        findings += [] if before is None else check_image(before)
    else:
        if run(directory, setting, port, None) != 0:
            findings.append(Finding("O12", "the last run", "it failed"))
    deaths = len(lines(directory / "died"))
    if not findings:
        findings = judge(directory, before, executed, deaths)
    verdict = {"moments": moments, "deaths": deaths, "findings": [*map(str, findings)]}
    if findings:
        verdict["log"] = lines(directory / "log")[-25:]
    return verdict


def main() -> None:
    """Read the command line and play."""
    warm_up()
    directory, setting, rounds, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    chance = random.Random(f"{seed} {setting}")
    undisturbed = play_round(directory / "undisturbed", setting, [])
    sys.stdout.write(json.dumps(undisturbed) + "\n")
    passes = int((directory / "undisturbed" / "passed").read_text())

    def moment() -> Moment:
        if chance.random() < 0.3:
            return "step", chance.randint(1, STEPS)
        return "engine", chance.randint(1, passes)

    for number in range(rounds):
        moments = [moment() for _ in range(2 if chance.random() < SECOND_DEATH else 1)]
        sys.stdout.write(json.dumps(play_round(directory / str(number), setting, moments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
