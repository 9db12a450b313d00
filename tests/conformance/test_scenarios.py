"""Every scenario of the conformance inventory, in every column of the matrix.

Each test reports one scenario that the session's campaign played; see `suite/campaign.py`.
"""

from __future__ import annotations

import pytest

from tests.conformance.scenarios import __all__ as _themes
from tests.conformance.suite.campaign import Campaign
from tests.conformance.suite.columns import COLUMNS, Column, peer_is_reference
from tests.conformance.suite.registry import SCENARIOS, Scenario

UPSTREAM_SCENARIOS = 60
UPSTREAM_GROUPS = 19
OWN_GROUPS = {"Deployment", "ServiceCrash"}
# What `restate-sdk` is known to get wrong, and the scenarios that show it; see the calibration in `services/peer.py`.
REFERENCE_DEFECTS = {
    "SleepWithFailures.sleepAndTerminateServiceEndpoint": "a process with an open invocation does not stop on SIGTERM",
}


def _cases() -> list[object]:
    return [
        pytest.param(column, scenario, id=f"{column}-{scenario}")
        for column in COLUMNS
        for scenario in SCENARIOS
        if not column.only or scenario.group in column.only
    ]


@pytest.mark.parametrize(("column", "scenario"), _cases())
def test_scenario(column: Column, scenario: Scenario, campaign: Campaign, request: pytest.FixtureRequest) -> None:
    """The scenario holds in this column: with this web server, these handlers, this server setting."""
    if peer_is_reference() and str(scenario) in REFERENCE_DEFECTS:
        request.applymarker(pytest.mark.xfail(reason=REFERENCE_DEFECTS[str(scenario)], strict=False))
    outcome = campaign.outcome(column, scenario)
    if outcome.error is not None:
        raise outcome.error


def test_inventory_is_complete() -> None:
    """All 60 cases in 19 classes of the upstream suite are registered, each under its own name."""
    upstream = [each for each in SCENARIOS if each.group not in OWN_GROUPS]
    assert len({str(each) for each in SCENARIOS}) == len(SCENARIOS)
    assert len(upstream) == UPSTREAM_SCENARIOS, f"in the themes {_themes}"
    assert len({each.group for each in upstream}) == UPSTREAM_GROUPS
