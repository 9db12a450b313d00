"""Fixtures of the conformance suite: the campaign that plays the scenarios, and what it needs from the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.suite.binary import require_server
from tests.conformance.suite.campaign import Campaign
from tests.conformance.suite.columns import Column, Server
from tests.conformance.suite.registry import Scenario

_CAMPAIGN = pytest.StashKey[Campaign]()


@pytest.fixture(scope="session")
def restate_binary() -> Path:
    """The real server's binary; without one the test is skipped, or fails with `CI=true`."""
    return require_server()


@pytest.fixture(scope="session")
def campaign(
    request: pytest.FixtureRequest, restate_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaign]:
    """Plays exactly the scenarios that this session selected."""
    selected: dict[Column, list[Scenario]] = {}
    for item in request.session.items:
        arguments = getattr(getattr(item, "callspec", None), "params", {})
        if "scenario" in arguments and arguments["column"].server is Server.RESTATE:
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
        counts = f"{report.passed:3} passed {report.failed:3} failed {report.seconds:6.1f} s"
        slowest = ", ".join(f"{name} {seconds:.1f} s" for seconds, name in report.slowest)
        terminalreporter.write_line(f"{column!s:40} {counts}   slowest: {slowest}")
