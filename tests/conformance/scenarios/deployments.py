"""Deployment: that a column is what its name says, so that no other scenario passes for the wrong reason."""

from __future__ import annotations

from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []


@scenario("Deployment.negotiatesModeAndVersion")
def negotiates_mode_and_version(stage: Stage) -> None:
    """The endpoint streams where the web server can, and invocations use the column's protocol version."""
    registered = stage.admin.deployment(stage.pair.deployment["id"])
    if stage.column.host.uses_http_11:
        assert (registered["protocol_type"], registered["http_version"]) == ("RequestResponse", "HTTP/1.1")
    else:
        assert (registered["protocol_type"], registered["http_version"]) == ("BidiStream", "HTTP/2.0")
    submission = stage.ingress.send("TestUtilsService", "echo", argument="hello")
    assert stage.ingress.attach(submission.invocation_id) == "hello"
    column = "pinned_service_protocol_version"
    rows = stage.admin.query(f"select {column} from sys_invocation where id = '{submission.invocation_id}'")
    assert rows == [{column: stage.column.setting.protocol_version}]
