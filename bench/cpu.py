"""CPU time of an invocation on both sides, in turns, through the same driver.

python -m bench.cpu [case …]                     the table
python -m bench.cpu --profile durably steps      where the time goes
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import statistics
import sys
import time
from dataclasses import dataclass

from bench import frames
from bench.driver import Message, invoke, pieces
from bench.handlers import SIDES, app_of
from bench.report import Claim, print_claims

ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement.

    Attributes:
        handler: Which handler of `bench.handlers` runs.
        steps: Steps in one invocation; the time is given for one step, or for the invocation if 0.
        replayed: Whether the journal already holds the steps.
        times: Invocations in one round.
        target: The most that durably may take, as a share of the peer; None where none was promised.
    """

    handler: str
    steps: int
    replayed: bool
    times: int
    target: float | None

    def journal(self) -> list[Message]:
        """Make the request."""
        body = str(self.steps or 1).encode()
        return pieces(frames.journal(body, self.steps if self.replayed else 0))


CASES = {
    "trivial": Case("trivial", 0, False, 1000, 0.5),
    "steps": Case("steps", 100, False, 12, 0.12),
    "replay_100": Case("steps", 100, True, 80, 0.13),
    "replay_1000": Case("steps", 1000, True, 8, 0.13),
    "plain_steps": Case("plain_steps", 100, False, 8, None),
    "plain_replay_100": Case("plain_steps", 100, True, 80, None),
}
TITLES = {
    "trivial": "a trivial handler",
    "steps": "one of 100 run steps",
    "replay_100": "one of 100 replayed steps",
    "replay_1000": "one of 1,000 replayed steps",
    "plain_steps": "one of 100 run steps, def actions",
    "plain_replay_100": "one of 100 replayed, def actions",
}


def measure_once(side: str, case: Case) -> float:
    """Give the CPU time in seconds of one invocation, or of one step, in one round."""
    app = app_of(side)

    async def main() -> float:
        journal = case.journal()
        await invoke(app, case.handler, journal, max(case.times // 10, 1))
        gc.collect()
        started = time.process_time()
        await invoke(app, case.handler, journal, case.times)
        return time.process_time() - started

    return asyncio.run(main()) / case.times / max(case.steps, 1)


def measure(case: Case, rounds: int = ROUNDS) -> dict[str, float]:
    """Give the median of each side; the sides take turns, so that a busy moment of the machine hits both."""
    seen: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            if side == "floor" and case.handler == "plain_steps":
                continue
            seen[side].append(measure_once(side, case))
    return {side: statistics.median(times) for side, times in seen.items() if times}


def claims(names: list[str]) -> list[Claim]:
    """Measure the named cases, and that replay stays flat where both lengths are among them."""
    found: list[Claim] = []
    durably: dict[str, float] = {}
    for name in names:
        case = CASES[name]
        medians = measure(case)
        durably[name] = medians["durably"]
        found.append(
            Claim(
                TITLES[name],
                *(f"{medians[side] * 1e6:.2f} µs" if side in medians else "" for side in SIDES),
                ratio=medians["durably"] / medians["restate"],
                target=case.target,
            )
        )
    if {"replay_100", "replay_1000"} <= durably.keys():
        longer, shorter = durably["replay_1000"], durably["replay_100"]
        found.append(
            Claim("replay: a step of 1,000 to one of 100", f"{longer * 1e6:.2f} µs", ratio=longer / shorter, target=1.2)
        )
    return found


def profile(side: str, case: Case, lines: int) -> None:
    """Print where one side spends its time, by own time and then by cumulative time."""
    app = app_of(side)
    journal = case.journal()
    recorder = cProfile.Profile()

    async def main() -> None:
        await invoke(app, case.handler, journal, max(case.times // 10, 1))
        recorder.enable()
        await invoke(app, case.handler, journal, case.times)
        recorder.disable()

    asyncio.run(main())
    stats = pstats.Stats(recorder, stream=sys.stdout)
    for order in ("tottime", "cumulative"):
        stats.sort_stats(order).print_stats(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(CASES))
    parser.add_argument("--profile", choices=SIDES, help="show where this side spends its time, and measure nothing")
    parser.add_argument("--lines", type=int, default=35, help="functions shown by --profile")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(CASES)}")
    names = arguments.cases or list(CASES)
    if arguments.profile:
        for name in names:
            profile(arguments.profile, CASES[name], arguments.lines)
    else:
        print_claims("CPU time, median of interleaved rounds", claims(names))


if __name__ == "__main__":
    main()
