"""Time to import the package, in fresh processes.

It is the processor's time: with the files in the cache of the system, an import waits for nothing but its turn.

python -m bench.imports
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.report import Claim, print_claims

RUNS = 9
TARGET_MS = 150.0
_PROGRAM = "import time; started = time.process_time(); import {0}; print(time.process_time() - started)"


def measure_once(package: str) -> float:
    """Give the time of one import in milliseconds."""
    command = [sys.executable, "-c", _PROGRAM.format(package)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout) * 1000


def claims() -> list[Claim]:
    """Measure both packages in turns, after one run that fills the caches."""
    seen: dict[str, list[float]] = {"durably": [], "restate": []}
    for _ in range(RUNS + 1):
        for package, times in seen.items():
            times.append(measure_once(package))
    durably, peer = (statistics.median(times[1:]) for times in seen.values())
    return [
        Claim("import", f"{durably:.0f} ms", f"{peer:.0f} ms", ratio=durably, target=TARGET_MS, unit=" ms"),
    ]


def main() -> None:
    """Print the table."""
    print_claims("Import", claims())


if __name__ == "__main__":
    main()
