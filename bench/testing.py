"""The test kit: a typical test, and a year of timers, beside the harness with a real server.

Owns the claims. Each part runs in a process of its own (`bench.testing_parts`), several times, and the medians count.
The peer is the same test with a `restate-server` for each test, as restate-sdk's harness has it, without the container.

    python -m bench.testing             everything
    python -m bench.testing memory year
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from bench.report import Claim, print_claims
from bench.testing_parts import DAYS, PARTS
from durably.testing.server import find_server

ROUNDS = {"memory": 5, "server": 1, "year": 5, "crashes": 3}
COLUMNS = ("in memory", "real server", "")
Figures = dict[str, dict[str, float]]


def measure(part: str) -> dict[str, float]:
    """Run one part several times, each in a process of its own; give the medians."""
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS[part]):
        command = [sys.executable, "-m", "bench.testing_parts", part]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{part} failed:\n{done.stderr[-2000:]}")
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def claims(figures: Figures) -> list[Claim]:
    """Compare what was measured with what was promised."""
    found: list[Claim] = []
    if (memory := figures.get("memory")) is not None:
        mine = memory["ms"]
        found.append(Claim("a typical test, its harness included", f"{mine:.1f} ms", "", "", mine, 50.0, " ms"))
        first = memory["first_ms"]
        what = "the first one of a process, with its imports"
        found.append(Claim(what, f"{first:.0f} ms", "", "", first, None, " ms"))
        if (server := figures.get("server")) is not None:
            theirs = server["ms"]
            what = "the same, beside a real server each"
            found.append(Claim(what, f"{mine:.1f} ms", f"{theirs:.0f} ms", "", mine / theirs, 1 / 20))
    if (year := figures.get("year")) is not None:
        mine = year["ms"]
        found.append(Claim(f"a year of {DAYS} timers", f"{mine:.0f} ms", "", "", mine / 1000, 1.0, " s"))
        replayed = year["replayed_ms"] / 1000
        found.append(Claim("the same, with a replay at each", f"{replayed:.2f} s", "", "", replayed, None, " s"))
    if (crashes := figures.get("crashes")) is not None:
        each = crashes["ms"] / crashes["runs"]
        what = f"crash everywhere, {crashes['runs']:.0f} runs, each"
        found.append(Claim(what, f"{each:.1f} ms", "", "", each, None, " ms"))
    return found


def main(chosen: list[str]) -> int:
    """Measure and print; the exit status says whether every claim was kept."""
    parts = list(chosen or PARTS)
    if find_server(Path(__file__)) is None and "server" in parts:
        print("restate-server is not installed: npm install --prefix .servers @restatedev/restate-server@1.7")
        parts.remove("server")
    return 0 if print_claims("durably's test kit", claims({part: measure(part) for part in parts}), COLUMNS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
