"""WorkflowAPI: a workflow that runs once for each key."""

from __future__ import annotations

from tests.conformance.suite.clients import InvocationFailedError
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

WORKFLOW = "BlockAndWaitWorkflow"


@scenario("WorkflowAPI.setAndResolve")
def set_and_resolve(stage: Stage) -> None:
    """A workflow runs once, is read and unblocked while it waits, and keeps its output."""
    key = stage.key()
    first = stage.ingress.send(WORKFLOW, key, "run", argument="Francesco", idempotency_key=None)
    assert first.status == "Accepted"
    state = stage.poll(lambda: stage.ingress.call(WORKFLOW, key, "getState"), what="the state is set")
    assert state == "Francesco"
    try:
        early = stage.ingress.workflow(WORKFLOW, key, "output")
    except InvocationFailedError as failure:
        assert failure.status == 470, failure
    else:
        raise AssertionError(f"A workflow that waits has the output {early!r}")
    stage.ingress.call(WORKFLOW, key, "unblock", argument="Till")
    assert stage.ingress.workflow(WORKFLOW, key, "attach") == "Till"
    assert stage.ingress.workflow(WORKFLOW, key, "output") == "Till"
    second = stage.ingress.send(WORKFLOW, key, "run", argument="Francesco", idempotency_key=None)
    assert (second.status, second.invocation_id) == ("PreviouslyAccepted", first.invocation_id)
    assert stage.ingress.workflow(WORKFLOW, key, "output") == "Till"
