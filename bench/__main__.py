"""All measurements: service side, engine, FastAPI adapter; the exit status says whether every claim was kept."""

from __future__ import annotations

import sys

from bench import cpu, engine, fastapi, imports, machine, memory
from bench.report import print_claims


def main() -> int:
    """Measure everything."""
    found = [*cpu.claims(list(cpu.CASES)), *machine.claims(), *memory.claims(), *imports.claims()]
    is_kept = print_claims("durably beside restate-sdk", found)
    return max(0 if is_kept else 1, engine.main([]), fastapi.main())


if __name__ == "__main__":
    sys.exit(main())
