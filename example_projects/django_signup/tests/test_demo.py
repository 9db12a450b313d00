"""The demo as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_demo_ends_well():
    """A project that is killed under gunicorn finishes every sign-up and every order, and no step is done twice."""
    project = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=project, capture_output=True, text=True, check=False, timeout=105
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no step was done twice" in done.stdout
