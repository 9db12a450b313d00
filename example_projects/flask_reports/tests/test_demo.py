"""The demo as a whole, on both runtimes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from durably.testing.server import find_server

PROJECT = Path(__file__).resolve().parent.parent


def run_demo(*arguments: str) -> None:
    """Run the demo as its user does, and let it judge itself."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no step was done twice" in done.stdout


def test_the_demo_ends_well():
    """Four sync workers that are killed in the middle finish every report, and no step is done twice."""
    run_demo()


def test_the_demo_ends_well_on_a_server():
    """The same application on a Restate Server keeps the same promises."""
    if find_server(PROJECT) is None and os.environ.get("CI") != "true":
        pytest.skip("no restate-server is installed: run make test where npm is")
    run_demo("--server")
