"""ServiceToServiceScopeConcurrency: scope and limit key travel with calls from one service to another."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.scenarios.calls import proxied
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

LIMIT = 2
CALLS = 4
SCOPES_SINCE = 7


@scenario("ServiceToServiceScopeConcurrency.scopeAndLimitKeyArePropagatedOnServiceToServiceCalls", seconds=90)
def scope_and_limit_key_are_propagated(stage: Stage) -> None:
    """With V7 a rule for the scope and the limit key holds; before V7 the attempt fails as the protocol says."""
    run = stage.key()[:8]
    options = {"scope": f"scope-{run}", "limitKey": f"limit-{run}"}
    keys = [f"{run}/{number}" for number in range(CALLS)]
    calls = [
        {
            "proxyRequest": proxied("BlockingProxy", "block", argument=key, **options),
            "oneWayCall": True,
            "awaitAtTheEnd": False,
        }
        for key in keys
    ]
    if stage.column.setting.protocol_version >= SCOPES_SINCE:
        _limit_holds(stage, run, keys, calls)
    else:
        stage.is_unsupported(stage.ingress.send("Proxy", "manyCalls", argument=calls))


def _limit_holds(stage: Stage, run: str, keys: list[str], calls: list[dict[str, Any]]) -> None:
    stage.admin.put_rule(f"scope-{run}/limit-{run}", LIMIT)
    _wait_for_the_rule(stage, run)
    stage.ingress.call("Proxy", "manyCalls", argument=calls)
    _travelled(stage, run)
    if not stage.column.always_suspends:
        # A suspended invocation gives its place to the next one, so only open attempts can be counted from outside.
        stage.poll(lambda: _running(stage, run) == LIMIT, what=f"exactly {LIMIT} scoped invocations run")
    waiting = set(keys)
    while waiting:
        assert stage.ingress.call("BlockingProxy", "mostAtOnce", argument=run) <= LIMIT
        key = stage.poll(lambda: _blocked(stage, waiting), what="another blocker waits")
        assert key is not None
        awakeable = stage.ingress.call("Blocker", key, "getAwakeable")
        body, headers = json.dumps("done").encode(), {"content-type": "application/json"}
        answer = stage.ingress.request("POST", f"/restate/awakeables/{awakeable}/resolve", body, headers)
        assert answer.status == 202, answer
        waiting.remove(key)
    for key in keys:
        stage.poll(
            lambda key=key: stage.ingress.call("Blocker", key, "getResult"),
            until=lambda result: result == "done",
            what=f"{key} is done",
        )
    assert 0 < stage.ingress.call("BlockingProxy", "mostAtOnce", argument=run) <= LIMIT


def _wait_for_the_rule(stage: Stage, run: str) -> None:
    rows = stage.poll(
        lambda: stage.admin.query(f"select * from sys_rules where pattern = 'scope-{run}/limit-{run}'"),
        what="the rule is known",
    )
    assert len(rows) == 1


def _travelled(stage: Stage, run: str) -> None:
    rows = stage.poll(
        lambda: stage.admin.query(
            "select scope, limit_key from sys_invocation where target_service_name = 'BlockingProxy'"
            f" and scope = 'scope-{run}'"
        ),
        until=lambda found: len(found) == CALLS,
        what="all scoped invocations exist",
    )
    assert rows == [{"scope": f"scope-{run}", "limit_key": f"limit-{run}"}] * CALLS


def _running(stage: Stage, run: str) -> int:
    rows = stage.admin.query(
        "select count(*) as n from sys_invocation where target_service_name = 'BlockingProxy'"
        f" and scope = 'scope-{run}' and status = 'running'"
    )
    return int(rows[0]["n"])


def _blocked(stage: Stage, keys: set[str]) -> str | None:
    return next((key for key in sorted(keys) if stage.ingress.call("Blocker", key, "getAwakeable")), None)
