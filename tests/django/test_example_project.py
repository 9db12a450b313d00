"""The example project keeps its own word: its tests run in a process that has its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2] / "example_projects" / "django_signup"


@pytest.mark.parametrize("module", sorted(path.name for path in (PROJECT / "tests").glob("test_*.py")))
def test_the_tests_of_the_project_pass(module: str):
    """What the project says about itself holds, from its own folder, as its developers run it."""
    own = ("DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DURABLY_", "SIGNUP_", "PYTEST_XDIST"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", f"tests/{module}"],
        cwd=PROJECT,
        env={name: value for name, value in kept.items() if name not in own},
        capture_output=True,
        text=True,
        check=False,
        timeout=115,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
