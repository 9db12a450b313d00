"""All measurements as one table; the exit status says whether every claim was kept."""

from __future__ import annotations

import sys

from bench import cpu, imports, machine, memory
from bench.report import print_claims


def main() -> int:
    """Measure everything."""
    found = [*cpu.claims(list(cpu.CASES)), *machine.claims(), *memory.claims(), *imports.claims()]
    return 0 if print_claims("durably beside restate-sdk", found) else 1


if __name__ == "__main__":
    sys.exit(main())
