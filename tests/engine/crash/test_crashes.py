"""The engine dies at every point where it could, and nothing that was acknowledged or recorded is lost or repeated.

`DURABLY_CRASH_STEP=1` dies at every pass of every fault point; by default only some of them are tried.
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
STEP = int(os.environ.get("DURABLY_CRASH_STEP", "40"))
POINTS_THAT_MATTER = {"begin", "statement", "commit", "acknowledge", "acknowledged", "resume"}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.timeout(60 + 1500 / STEP)
def test_nothing_is_lost_or_repeated_wherever_the_engine_dies(setting: str, tmp_path: Path) -> None:
    """After a kill at a fault point and a restart the results are those of a run that nothing disturbed."""
    command = [sys.executable, "-m", "tests.engine.crash.zygote", str(tmp_path), setting, str(STEP)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    played = subprocess.run(
        command, cwd=ROOT, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stderr
    verdicts = [json.loads(line) for line in played.stdout.splitlines()]
    wrong = [verdict for verdict in verdicts if verdict["findings"]]
    assert not wrong, json.dumps(wrong, indent=1)
    tried = {verdict["point"] for verdict in verdicts if verdict["crashes"]}
    assert tried >= POINTS_THAT_MATTER, tried
