"""The embedded engine beside DBOS and a real Restate Server: steps, latency, memory, start-up, history.

Owns the claims. Each part runs in a process of its own (`bench.engine_parts`) and on an empty folder; the engine syncs
every commit, the peers do what they do by default. What depends on the disk and the machine's load is measured in
several rounds, in which the sides take turns, and the medians are compared. DBOS is of the extra `bench`; what is not
installed is left out.

    python -m bench.engine              everything
    python -m bench.engine fdatasync durably_steps dbos_steps
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.engine_parts import FINISHED, PARTS, SUSPENDED
from bench.report import Claim, print_claims
from durably.testing.server import find_server

ROUNDS = 3
IN_TURNS = ("fdatasync", "durably_steps", "dbos_steps", "restate_steps", "start_up")
COLUMNS = ("engine", "peer", "fdatasync")
Figures = dict[str, dict[str, float]]


def measure(part: str) -> dict[str, float]:
    """Run one part in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="durably-bench-") as directory:
        command = [sys.executable, "-m", "bench.engine_parts", part, directory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{part} failed:\n{done.stderr[-2000:]}")
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures


def measure_all(parts: list[str]) -> Figures:
    """Run all parts, those that are compared with each other in turns; give the medians."""
    seen: dict[str, list[dict[str, float]]] = {}
    for number in range(ROUNDS):
        for part in parts:
            if number == 0 or part in IN_TURNS:
                seen.setdefault(part, []).append(measure(part))
    return {
        part: {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        for part, rounds in seen.items()
    }


def claims(figures: Figures) -> list[Claim]:
    """Compare what was measured with what was promised; a ratio above its target is a claim that was missed."""
    found: list[Claim] = []
    engine, sync = figures.get("durably_steps"), figures.get("fdatasync")
    if engine is not None:
        for peer, name, targets in (
            ("dbos_steps", "DBOS", {"1": 1 / 4, "16": 1 / 20}),
            ("restate_steps", "restate-server", {"1": None, "16": 1 / 4}),
        ):
            if peer in figures:
                found += [
                    _speed(f"steps, {at} at once, beside {name}", engine[at], figures[peer][at], target)
                    for at, target in targets.items()
                ]
                mine, theirs = engine["latency_ms"], figures[peer]["latency_ms"]
                target = 1 / 5 if peer == "restate_steps" else None
                what = f"trivial call, beside {name}"
                found.append(Claim(what, f"{mine:.2f} ms", f"{theirs:.2f} ms", "", mine / theirs, target))
        if sync is not None:
            for how, target in (("appended", 2.0), ("overwritten", None)):
                limit, what = sync[how], f"steps, 1 at once, beside an {how} page each"
                found.append(Claim(what, f"{engine['1']:.0f}/s", "", f"{limit:.0f}/s", limit / engine["1"], target))
    for part, how in (("suspended_resident", "resident"), ("suspended_traced", "allocated by Python")):
        if (memory := figures.get(part)) is not None:
            size, what = memory["bytes"], f"each of {SUSPENDED:,} suspended, {how}"
            found.append(Claim(what, f"{size:.0f} B", "", "", size / 1024, 8.0, " KiB"))
    if (start := figures.get("start_up")) is not None:
        found += [
            Claim(f"start on {what}", f"{start[name]:.1f} ms", "", "", start[name], 50.0, " ms")
            for what, name in (("a new file", "new_ms"), ("a known file", "known_ms"))
        ]
    if (history := figures.get("history")) is not None:
        what = f"steps with {FINISHED:,} finished in the file, beside none"
        found.append(_speed(what, history["full"], history["empty"], 1 / 0.9))
    return found


def _speed(what: str, mine: float, theirs: float, target: float | None) -> Claim:
    return Claim(what, f"{mine:.0f}/s", f"{theirs:.0f}/s", "", theirs / mine, target)


def main(chosen: list[str]) -> int:
    """Measure and print; the exit status says whether every claim was kept."""
    parts = list(chosen or PARTS)
    if importlib.util.find_spec("dbos") is None and "dbos_steps" in parts:
        print("dbos is not installed: pip install -e '.[bench]'")
        parts.remove("dbos_steps")
    if find_server(Path(__file__)) is None and "restate_steps" in parts:
        print("restate-server is not installed: npm install --prefix .servers @restatedev/restate-server@1.7")
        parts.remove("restate_steps")
    return 0 if print_claims("durably's embedded engine", claims(measure_all(parts)), COLUMNS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
