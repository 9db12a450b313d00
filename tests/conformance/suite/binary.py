"""Decides what happens where no `restate-server` is installed.

Owns that decision: a developer's tests are skipped with the reason, a run with `CI=true` fails.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from durably.testing.server import find_server

__all__ = ["require_server"]


def require_server() -> Path:
    """Give the binary, or skip or fail the test that asks."""
    binary = find_server(Path(__file__))
    if binary is not None:
        return binary
    reason = "no restate-server binary: npm install --prefix .servers @restatedev/restate-server@1.7"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
