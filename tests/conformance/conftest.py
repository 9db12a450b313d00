"""Fixtures of the conformance suite: the campaign that plays the scenarios, and what it needs from the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_TESTS = str(Path(__file__).resolve().parents[1])
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)

from conformance.suite.campaign import Campaign  # noqa: E402
from conformance.suite.columns import Column  # noqa: E402
from conformance.suite.registry import Scenario  # noqa: E402
from durably.testing.server import find_server  # noqa: E402

_CAMPAIGN = pytest.StashKey[Campaign]()


@pytest.fixture(scope="session")
def restate_binary() -> Path:
    """The real server's binary; without one the test is skipped, or fails where the variable CI is set."""
    binary = find_server(Path(__file__))
    if binary is None:
        reason = "no restate-server binary: npm install --prefix .servers @restatedev/restate-server@1.7"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return binary


@pytest.fixture(scope="session")
def campaign(
    request: pytest.FixtureRequest, restate_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaign]:
    """Plays exactly the scenarios that this session selected."""
    selected: dict[Column, list[Scenario]] = {}
    for item in request.session.items:
        arguments: dict[str, Any] = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if "scenario" in arguments:
            selected.setdefault(arguments["column"], []).append(arguments["scenario"])
    playing = Campaign(selected, tmp_path_factory.mktemp("conformance"))
    request.config.stash[_CAMPAIGN] = playing
    yield playing
    playing.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what each column took."""
    playing = config.stash.get(_CAMPAIGN, None)
    if playing is None:
        return
    terminalreporter.section("conformance columns")
    for column, report in playing.reports.items():
        slowest = ", ".join(f"{name} {seconds:.1f} s" for seconds, name in report.slowest)
        terminalreporter.write_line(
            f"{column!s:40} {report.passed:3} passed {report.failed:3} failed {report.seconds:6.1f} s   slowest: {slowest}"
        )
