"""Cancellation and KillInvocation: ending an invocation from outside or from another handler."""

from __future__ import annotations

from tests.conformance.scenarios.calls import proxied
from tests.conformance.suite.clients import InvocationFailedError
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

OPERATIONS = {operation: {"operation": operation} for operation in ("CALL", "SLEEP", "AWAKEABLE")}


def _unlock_when_held(stage: Stage, key: str) -> None:
    stage.poll(lambda: stage.ingress.call("AwakeableHolder", key, "hasAwakeable"), what="the awakeable is held")
    stage.ingress.call("AwakeableHolder", key, "unlock", argument="go on")


def _blocks(stage: Stage, key: str, operation: str) -> bool:
    """Tell whether the blocked handler has journaled the operation that it is to be cancelled in."""
    entry = {"CALL": "Command: Call", "SLEEP": "Command: Sleep"}.get(operation)
    if entry is None:
        return True
    rows = stage.admin.query(
        "select count(*) as n from sys_journal j join sys_invocation i on i.id = j.id"
        " where i.target_service_name = 'CancelTestBlockingService' and i.target_handler_name = 'block'"
        f" and i.target_service_key = '{key}' and j.entry_type = '{entry}'"
    )
    return rows[0]["n"] >= (2 if operation == "CALL" else 1)


def _is_cancelled_and_free(stage: Stage, key: str) -> None:
    assert stage.ingress.call("CancelTestRunner", key, "verifyTest") is True
    stage.ingress.call("CancelTestBlockingService", key, "isUnlocked")


@scenario("Cancellation.cancelFromAdminAPI", variants=OPERATIONS)
def cancel_from_admin_api(stage: Stage, operation: str) -> None:
    """One cancellation reaches through the call tree, is seen as 409 by the caller, and frees the key."""
    key = stage.key()
    submission = stage.ingress.send("CancelTestRunner", key, "startTest", argument=operation)
    _unlock_when_held(stage, key)
    stage.poll(lambda: _blocks(stage, key, operation), what=f"the handler blocks in {operation}")
    assert stage.admin.end(submission.invocation_id, "cancel") in (200, 202)
    _is_cancelled_and_free(stage, key)


@scenario("Cancellation.cancelFromContext", variants=OPERATIONS)
def cancel_from_context(stage: Stage, operation: str) -> None:
    """A handler cancels an invocation that another handler started, with the same effect."""
    key = stage.key()
    request = proxied("CancelTestRunner", key, "startTest", argument=operation)
    invocation_id = stage.ingress.call("Proxy", "oneWayCall", argument=request)
    _unlock_when_held(stage, key)
    stage.poll(lambda: _blocks(stage, key, operation), what=f"the handler blocks in {operation}")
    stage.ingress.call("TestUtilsService", "cancelInvocation", argument=invocation_id)
    _is_cancelled_and_free(stage, key)


@scenario("KillInvocation.kill")
def kill(stage: Stage) -> None:
    """Killing the root ends the whole call tree and frees the key that it holds."""
    key = stage.key()
    submission = stage.ingress.send("KillTestRunner", key, "startCallTree")
    _unlock_when_held(stage, key)
    stage.poll(lambda: stage.admin.end(submission.invocation_id, "kill") == 200, what="the invocation is killed")
    stage.ingress.call("KillTestSingleton", key, "isUnlocked")
    try:
        stage.ingress.attach(submission.invocation_id)
    except InvocationFailedError as failure:
        assert failure.status == 409, failure
    else:
        raise AssertionError("A killed invocation has a result")
