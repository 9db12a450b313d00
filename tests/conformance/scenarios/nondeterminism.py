"""NonDeterminismErrors: handlers that do not follow their journal."""

from __future__ import annotations

from tests.conformance.suite.clients import InvocationFailedError
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

JOURNAL_MISMATCH = 570
HANDLERS = ("eitherSleepOrCall", "callDifferentMethod", "backgroundInvokeWithDifferentTargets", "setDifferentKey")


@scenario("NonDeterminismErrors.method", variants={handler: {"handler": handler} for handler in HANDLERS})
def method(stage: Stage, handler: str) -> None:
    """The mismatch is found and reported as such, and nothing after it happens."""
    key = stage.key()
    stage.ingress.call("Counter", key, "add", argument=1)
    try:
        stage.ingress.call("NonDeterministic", key, handler)
    except InvocationFailedError as failure:
        assert failure.status in (500, JOURNAL_MISMATCH), failure
        assert str(JOURNAL_MISMATCH) in str(failure) or "mismatch" in str(failure).lower(), failure
    else:
        raise AssertionError("A handler that left its journal succeeded")
    rows = stage.admin.query(
        "select count(*) as n from sys_invocation where target_service_name = 'Counter'"
        f" and target_service_key = '{key}' and target_handler_name = 'add'"
    )
    assert rows == [{"n": 1}], "the increment after the divergence was sent"
    assert stage.ingress.call("Counter", key, "get") == 1
