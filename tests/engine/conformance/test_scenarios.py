"""Every scenario of the conformance inventory with the embedded engine in the place of the server.

The columns: services in the engine's own process, and in processes of web servers that speak HTTP/2 or HTTP/1.1;
coroutines and threads; the settings that change what travels. `DURABLY_CONFORMANCE_ENGINE=full` plays every
combination; without it, each host, each kind of handler and each setting is played at least once. Two columns have
their services written with `restate-sdk`.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.conformance.scenarios import __all__ as _themes
from tests.conformance.suite.campaign import Campaign
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.registry import SCENARIOS, Scenario

# What a server may have and the engine has not: signed requests, and limits for scopes, which need protocol V7.
NOT_OFFERED: Final = {"ProxyRequestSigning"}
NEEDS_RULES: Final = "ServiceToServiceScopeConcurrency"
# A process of `restate-sdk` with an open invocation does not stop on SIGTERM, whatever drives it.
PEER_DEFECTS: Final = {"SleepWithFailures.sleepAndTerminateServiceEndpoint"}
STATE: Final = frozenset({"State", "Combinators", "UserErrors"})


def _column(host: Host, handlers: Handlers, setting: Setting, only: frozenset[str] = frozenset()) -> Column:
    return Column(host, handlers, setting, only, Server.ENGINE)


def _columns() -> list[Column]:
    if os.environ.get("DURABLY_CONFORMANCE_ENGINE") == "full":
        settings = [each for each in Setting if each is not Setting.FEW_TIMERS]
        return [
            _column(host, kind, setting)
            for setting in settings
            for host in Host
            for kind in Handlers
            if kind is not Handlers.PEER or host in (Host.HYPERCORN, Host.GRANIAN, Host.UVICORN)
        ]
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
        _column(Host.HYPERCORN, Handlers.PEER, Setting.DEFAULT),
        _column(Host.GRANIAN, Handlers.PEER, Setting.LAZY_STATE_SUSPENDING),
    ]


def _applies(column: Column, scenario: Scenario) -> bool:
    if column.handlers is Handlers.PEER and str(scenario) in PEER_DEFECTS:
        return False
    if scenario.group in NOT_OFFERED or (column.only and scenario.group not in column.only):
        return False
    return scenario.group != NEEDS_RULES or column.setting.protocol_version < 7  # scopes came with it


def _cases() -> list[object]:
    return [
        pytest.param(column, scenario, id=f"{column}-{scenario}")
        for column in _columns()
        for scenario in SCENARIOS
        if _applies(column, scenario)
    ]


@pytest.mark.parametrize(("column", "scenario"), _cases())
def test_scenario(column: Column, scenario: Scenario, campaign: Campaign) -> None:
    """The scenario holds on the engine: with this host, these handlers, this setting."""
    outcome = campaign.outcome(column, scenario)
    if outcome.error is not None:
        raise outcome.error


def test_inventory_is_played() -> None:
    """Every scenario but those that need what the engine has not is played in every kind of column."""
    assert _themes
    for host in Host:
        played = {
            str(each) for column in _columns() if column.host is host for each in SCENARIOS if _applies(column, each)
        }
        left_out = {str(each) for each in SCENARIOS} - played
        assert {name.partition(".")[0] for name in left_out} <= {*NOT_OFFERED, NEEDS_RULES}, left_out
