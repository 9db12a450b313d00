"""The engine and the services die at the same moment, in two processes, and nothing is lost or repeated.

`DURABLY_CRASH_ROUNDS` plays more rounds, `DURABLY_CRASH_SEED` others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.crash.scenario import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
ROUNDS = int(os.environ.get("DURABLY_CRASH_ROUNDS", "8"))
SEED = os.environ.get("DURABLY_CRASH_SEED", "1")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_nothing_is_lost_or_repeated_when_both_die(setting: str, tmp_path: Path) -> None:
    """After kills of both at random moments and a restart the results are those of a run that nothing disturbed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    played = subprocess.run(
        [sys.executable, "-m", "tests.engine.crash.pair", str(tmp_path), setting, str(ROUNDS), SEED],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stderr
    verdicts = [json.loads(line) for line in played.stdout.splitlines()]
    wrong = [verdict for verdict in verdicts if verdict["findings"]]
    assert not wrong, json.dumps(wrong, indent=1)
    assert sum(verdict["deaths"] for verdict in verdicts) >= ROUNDS // 2
