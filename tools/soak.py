"""Plays random programs on the engine while it and its services are killed, for as long as one likes.

    python -m tools.soak --minutes 120 --seed 7

Owns the length, the order and the verdict. The time is cut into rounds, each with an empty file and programs of its
own. In most of them services and engine are killed at random moments, in one of the ways in which they can run; in
every fifth nothing is killed, everything is forgotten after a second, and memory, descriptors and the file must not
grow. Afterwards every increment must have been counted once, and `durably.testing.oracles` must find nothing: O1 to
O12, of the file and of what clients and handlers saw. A round that fails ends the run with exit status 1; its folder,
with the file and all logs, is kept, and the seed that is printed plays the same programs again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.engine.suite.rounds import NEVER_SECONDS, PROGRAMS_A_SECOND, play_calm_round, play_round

__all__ = ["COLUMNS", "main", "play"]

SHORTEST_ROUND_SECONDS: Final = 10.0
LONGEST_ROUND_SECONDS: Final = 600.0
SETTLING_SECONDS: Final = 4.0  # what a round takes besides submitting, about
# How often the service and the engine are killed; in one process they die together.
COLUMNS: Final[Mapping[Column, tuple[float, float]]] = {
    Column(Host.IN_PROCESS, Handlers.ASYNC, Setting.V7_SUSPENDING, server=Server.ENGINE): (NEVER_SECONDS, 3.0),
    Column(Host.IN_PROCESS, Handlers.SYNC, Setting.DEFAULT, server=Server.ENGINE): (NEVER_SECONDS, 3.0),
    Column(Host.HYPERCORN, Handlers.ASYNC, Setting.V7, server=Server.ENGINE): (3.0, 4.0),
    Column(Host.GUNICORN, Handlers.SYNC, Setting.DEFAULT, server=Server.ENGINE): (3.0, 4.0),
}
ROUNDS: Final[Sequence[Column | None]] = (*COLUMNS, None)  # None kills nothing


def play(minutes: float, seed: int, keep: Path, tell: Callable[[str], object] = print) -> None:
    """Play rounds until the time is over; of each kind one, at least.

    Args:
        minutes: How long, about.
        seed: Decides programs and kills.
        keep: A folder for files and logs; what a good round left is deleted.
        tell: Is given one line for each round, and a last one.

    Raises:
        AssertionError: A round went wrong.
    """
    rng = random.Random(seed)  # noqa: S311
    end = time.monotonic() + minutes * 60
    submit_seconds = minutes * 60 / len(ROUNDS) - SETTLING_SECONDS
    submit_seconds = min(max(submit_seconds, SHORTEST_ROUND_SECONDS), LONGEST_ROUND_SECONDS)
    programs = round(submit_seconds * PROGRAMS_A_SECOND)
    number = 0
    totals = [0, 0, 0, 0]
    # A round that would end too late is not begun.
    while number < len(ROUNDS) or time.monotonic() + submit_seconds < end:
        column = ROUNDS[number % len(ROUNDS)]
        directory = keep / f"round-{number}"
        programs_seed, often = rng.getrandbits(32), rng.uniform(0.5, 2.0)
        if column is None:
            report = play_calm_round(directory, seed=programs_seed, programs=programs)
        else:
            service_seconds, engine_seconds = COLUMNS[column]
            kill_seconds = (service_seconds * often, engine_seconds * often)
            report = play_round(column, directory, seed=programs_seed, programs=programs, kill_seconds=kill_seconds)
        shutil.rmtree(directory)
        number += 1
        found = (report.programs, report.increments, report.service_kills, report.server_kills)
        totals = [total + figure for total, figure in zip(totals, found, strict=True)]
        tell(f"round {number:3}  {column or 'growth'!s:36} {_told(found)}, {report.seconds:.0f} s")
    tell(f"seed {seed}: difference 0 in {number} rounds: {_told(totals)}")


def _told(figures: Sequence[int]) -> str:
    programs, increments, service_kills, engine_kills = figures
    return f"{programs} programs, {increments} increments, {service_kills} + {engine_kills} kills of service + engine"


def _print(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Random programs and kills, for long.")
    parser.add_argument("--minutes", type=float, default=120.0, help="how long, about (120)")
    parser.add_argument("--seed", type=int, help="which programs; any, if none is given")
    given = parser.parse_args(arguments)
    seed: int = given.seed if given.seed is not None else random.SystemRandom().getrandbits(32)
    keep = Path(tempfile.mkdtemp(prefix="durably-soak-"))
    _print(f"seed {seed}, {given.minutes:g} minutes, in {keep}")
    try:
        play(given.minutes, seed, keep, _print)
    except Exception as error:  # a process that does not start is a failure too
        notes: list[str] = getattr(error, "__notes__", [])
        print("\n".join([f"seed {seed} failed: {error!r}", *notes, f"The file and the logs are in {keep}."]))
        return 1
    shutil.rmtree(keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
