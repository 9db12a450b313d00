"""Every scenario of the conformance inventory with the embedded engine in the place of the server.

The columns: services in the engine's own process, and in processes of web servers that speak HTTP/2 or HTTP/1.1;
coroutines and threads; the settings that change what travels. `DURABLY_CONFORMANCE_ENGINE=full` plays every
combination; without it, each host, each kind of handler and each setting is played at least once. With
`DURABLY_CONFORMANCE_PEER=restate` the services are written with `restate-sdk`.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.conformance.scenarios import __all__ as _themes
from tests.conformance.suite.campaign import Campaign
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting, peer_is_reference
from tests.conformance.suite.registry import SCENARIOS, Scenario

# What a server may have and the engine has not: signed requests, and limits for scopes, which need protocol V7.
NOT_OFFERED: Final = {"ProxyRequestSigning"}
NEEDS_RULES: Final = "ServiceToServiceScopeConcurrency"
# What `restate-sdk` is known to get wrong, and the scenarios that show it; see the calibration in `services/peer.py`.
REFERENCE_DEFECTS: Final = {
    "SleepWithFailures.sleepAndTerminateServiceEndpoint": "a process with an open invocation does not stop on SIGTERM",
}
STATE: Final = frozenset({"State", "Combinators", "UserErrors"})


def _column(host: Host, handlers: Handlers, setting: Setting, only: frozenset[str] = frozenset()) -> Column:
    return Column(host, handlers, setting, only, Server.ENGINE)


def _columns() -> list[Column]:
    if peer_is_reference():
        settings = (Setting.DEFAULT, Setting.SUSPENDING, Setting.LAZY_STATE)
        hosts = (Host.HYPERCORN, Host.GRANIAN, Host.UVICORN)
        return [_column(host, Handlers.ASYNC, setting) for setting in settings for host in hosts]
    if os.environ.get("DURABLY_CONFORMANCE_ENGINE") == "full":
        settings = (Setting.DEFAULT, Setting.SUSPENDING, Setting.LAZY_STATE, Setting.V7, Setting.V7_SUSPENDING, Setting.V5)
        return [_column(host, kind, setting) for setting in settings for host in Host for kind in Handlers]
    return [
        _column(Host.IN_PROCESS, Handlers.ASYNC, Setting.V7),
        _column(Host.IN_PROCESS, Handlers.SYNC, Setting.SUSPENDING),
        _column(Host.IN_PROCESS, Handlers.ASYNC, Setting.LAZY_STATE_SUSPENDING, STATE),
        _column(Host.HYPERCORN, Handlers.ASYNC, Setting.V7_SUSPENDING),
        _column(Host.HYPERCORN, Handlers.SYNC, Setting.LAZY_STATE, STATE),
        _column(Host.GRANIAN, Handlers.SYNC, Setting.DEFAULT),
        _column(Host.GRANIAN, Handlers.ASYNC, Setting.V5, STATE),
        _column(Host.UVICORN, Handlers.ASYNC, Setting.V7),
        _column(Host.GUNICORN, Handlers.SYNC, Setting.DEFAULT),
    ]


def _applies(column: Column, scenario: Scenario) -> bool:
    if scenario.group in NOT_OFFERED or (column.only and scenario.group not in column.only):
        return False
    return scenario.group != NEEDS_RULES or column.setting.protocol_version < 7  # noqa: PLR2004 # scopes came with it


def _cases() -> list[object]:
    return [
        pytest.param(column, scenario, id=f"{column}-{scenario}")
        for column in _columns()
        for scenario in SCENARIOS
        if _applies(column, scenario)
    ]


@pytest.mark.parametrize(("column", "scenario"), _cases())
def test_scenario(column: Column, scenario: Scenario, campaign: Campaign, request: pytest.FixtureRequest) -> None:
    """The scenario holds on the engine: with this host, these handlers, this setting."""
    assert _themes
    if peer_is_reference() and str(scenario) in REFERENCE_DEFECTS:
        request.applymarker(pytest.mark.xfail(reason=REFERENCE_DEFECTS[str(scenario)], strict=False))
    outcome = campaign.outcome(column, scenario)
    if outcome.error is not None:
        raise outcome.error
