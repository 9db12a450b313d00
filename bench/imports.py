"""Time to import the package, in fresh processes.

python -m bench.imports
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.report import Claim, print_claims

RUNS = 9
TARGET_MS = 150.0
_PROGRAM = "import time; started = time.perf_counter(); import {0}; print(time.perf_counter() - started)"


def measure(package: str) -> float:
    """Give the time of one import in milliseconds; the median, after one run that fills the caches."""
    times = [
        float(subprocess.run([sys.executable, "-c", _PROGRAM.format(package)], capture_output=True, check=True).stdout)
        for _ in range(RUNS + 1)
    ]
    return statistics.median(times[1:]) * 1000


def claims() -> list[Claim]:
    """Measure both packages."""
    durably, peer = measure("durably"), measure("restate")
    return [
        Claim("import", f"{durably:.0f} ms", f"{peer:.0f} ms", ratio=durably, target=TARGET_MS, unit=" ms"),
    ]


def main() -> None:
    """Print the table."""
    print_claims("Import", claims())


if __name__ == "__main__":
    main()
