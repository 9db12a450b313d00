"""Plays random programs on the engine while it and its services are killed, for as long as one likes.

    python -m tools.soak --minutes 120 --seed 7

Owns the length, the order and the verdict. The time is cut into rounds: each has an empty file, programs of its own,
and one of the ways in which services and engine run. Afterwards every increment must have been counted once, and the
file must keep what `durably.testing.oracles` demands. A round that fails ends the run with exit status 1; its folder,
with the file and all logs, is kept, and the seed that is printed plays the same programs again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from durably.testing.oracles import check_file, check_image, check_quiescent, require
from durably.testing.store_images import StoreImage
from tests.conformance.suite.clients import Deadline
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess
from tests.conformance.suite.soak import Soak, SoakReport
from tests.conformance.suite.stages import Pair

__all__ = ["COLUMNS", "PROGRAMS_A_SECOND", "play_round"]

PROGRAMS_A_SECOND: Final = 28
SHORTEST_ROUND_SECONDS: Final = 10.0
LONGEST_ROUND_SECONDS: Final = 600.0
SETTLING_SECONDS: Final = 3.0  # what a round takes besides submitting, about
NEVER_SECONDS: Final = 1e6
OBJECTS: Final = 20
# With the default retries the work stands still for longer than the service needs to start again.
QUICK_RETRIES: Final = {
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "1000",
}
# How often the service and the engine are killed; in one process they die together.
COLUMNS: Final[Mapping[Column, tuple[float, float]]] = {
    Column(Host.IN_PROCESS, Handlers.ASYNC, Setting.V7_SUSPENDING, server=Server.ENGINE): (NEVER_SECONDS, 3.0),
    Column(Host.IN_PROCESS, Handlers.SYNC, Setting.DEFAULT, server=Server.ENGINE): (NEVER_SECONDS, 3.0),
    Column(Host.HYPERCORN, Handlers.ASYNC, Setting.V7, server=Server.ENGINE): (3.0, 4.0),
    Column(Host.GUNICORN, Handlers.SYNC, Setting.DEFAULT, server=Server.ENGINE): (3.0, 4.0),
}


def play_round(
    column: Column, directory: Path, *, seed: int, programs: int, kill_seconds: tuple[float, float] | None = None
) -> SoakReport:
    """Play programs on a new engine, killing it and the service, and check what is left.

    Args:
        column: How they run.
        directory: Where the file and the logs go.
        seed: Decides the programs.
        programs: How many.
        kill_seconds: The time between two kills of the service and of the engine; None for that of the column.

    Raises:
        AssertionError: An increment was lost or repeated, work is stuck, or the file is not as it must be.
    """
    service_seconds, engine_seconds = kill_seconds or COLUMNS[column]
    submit_seconds = programs / PROGRAMS_A_SECOND
    pair = Pair(column, directory, settings=QUICK_RETRIES)
    assert isinstance(pair.server, EngineProcess)
    try:
        pair.start()
        soak = Soak(
            pair,
            seed=seed,
            programs=programs,
            keys=OBJECTS,
            submit_seconds=submit_seconds,
            service_kill_seconds=service_seconds,
            server_kill_seconds=engine_seconds,
            patience_seconds=30.0,
        )
        report = soak.run(Deadline(submit_seconds * 4 + 90))
        image = StoreImage.read(pair.server.file)
        require(*check_image(image), *check_quiescent(image), *check_file(pair.server.file))
    except BaseException as error:
        error.add_note(f"seed {seed}, {programs} programs\n{pair.logs()}")
        raise
    finally:
        pair.stop()
    return report


def _soak(minutes: float, seed: int, keep: Path) -> None:
    """Play rounds until the time is over."""
    rng = random.Random(seed)  # noqa: S311
    end = time.monotonic() + minutes * 60
    submit_seconds = minutes * 60 / len(COLUMNS) - SETTLING_SECONDS
    submit_seconds = min(max(submit_seconds, SHORTEST_ROUND_SECONDS), LONGEST_ROUND_SECONDS)
    programs = round(submit_seconds * PROGRAMS_A_SECOND)
    number = 0
    totals = [0, 0, 0, 0]
    columns = list(COLUMNS)
    # A round that would end too late is not begun, but one is always played.
    while number == 0 or time.monotonic() + submit_seconds < end:
        column = columns[number % len(columns)]
        often = rng.uniform(0.5, 2.0)
        kill_seconds = (COLUMNS[column][0] * often, COLUMNS[column][1] * often)
        directory = keep / f"round-{number}"
        report = play_round(column, directory, seed=rng.getrandbits(32), programs=programs, kill_seconds=kill_seconds)
        shutil.rmtree(directory)
        number += 1
        found = (report.programs, report.increments, report.service_kills, report.server_kills)
        totals = [total + figure for total, figure in zip(totals, found, strict=True)]
        print(f"round {number:3}  {column!s:36} {_told(found)}, {report.seconds:.0f} s", flush=True)
    print(f"seed {seed}: difference 0 in {number} rounds: {_told(totals)}")


def _told(figures: Sequence[int]) -> str:
    programs, increments, service_kills, engine_kills = figures
    return f"{programs} programs, {increments} increments, {service_kills} + {engine_kills} kills of service + engine"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Random programs and kills, for long.")
    parser.add_argument("--minutes", type=float, default=120.0, help="how long, about (120)")
    parser.add_argument("--seed", type=int, help="which programs; any, if none is given")
    given = parser.parse_args(arguments)
    seed: int = given.seed if given.seed is not None else random.SystemRandom().getrandbits(32)
    keep = Path(tempfile.mkdtemp(prefix="durably-soak-"))
    print(f"seed {seed}, {given.minutes:g} minutes, in {keep}", flush=True)
    try:
        _soak(given.minutes, seed, keep)
    except Exception as error:  # a process that does not start is a failure too
        notes: list[str] = getattr(error, "__notes__", [])
        print("\n".join([f"seed {seed} failed: {error!r}", *notes, f"The file and the logs are in {keep}."]))
        return 1
    shutil.rmtree(keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
