"""kill -9 at every fault point of random writes: nothing acknowledged is lost, nothing is half there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.engine.store.workload import check

ROOT = Path(__file__).resolve().parents[3]
SEED = 7
TRANSACTIONS = 12
STATEMENTS = 160


def test_nothing_acknowledged_is_lost(tmp_path: Path):
    """Every file holds each acknowledged transaction, at most one more, none by halves, and takes the next.

    Children die before a transaction, after each of its statements, before its commit, and before its acknowledgement.
    """
    arguments = [str(tmp_path), str(SEED), str(TRANSACTIONS), str(STATEMENTS)]
    output = subprocess.run(
        [sys.executable, "-m", "tests.engine.store.killed", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    deaths = [json.loads(line) for line in output.splitlines()]
    seen: Counter[str] = Counter()
    for death in deaths:
        assert death["killed"], death
        found = check(death["path"], death["acknowledged"], SEED)
        if death["point"] == "acknowledge":
            assert found == death["acknowledged"] + 1  # committed, and nobody was told
        else:
            assert found == death["acknowledged"], death
        seen[death["point"]] += 1
    assert seen == {"begin": TRANSACTIONS, "statement": STATEMENTS, "commit": TRANSACTIONS, "acknowledge": TRANSACTIONS}
