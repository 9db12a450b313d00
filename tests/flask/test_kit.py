"""The test kit takes the extension as it is: handlers run as in the application, without its own engine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask, current_app, request

from durably import SyncContext
from durably.errors import UsageError
from durably.testing import blocking_test_harness
from durably_flask import Durably, identity
from durably_flask.testing import stored_request


def test_services_run_in_a_harness() -> None:
    """A handler and its step have the application's context; a week passes at once."""
    app = Flask("reports")
    app.config["GREETING"] = "Hello"
    extension = Durably(app, url="memory://")
    service = extension.service("Greeter")

    @service.handler()
    def greet(ctx: SyncContext, name: str) -> str:
        def greeting() -> str:
            return str(current_app.config["GREETING"])

        ctx.sleep(timedelta(days=7))
        return f"{ctx.run_typed('greeting', greeting)} {name} of {current_app.name}"

    with blocking_test_harness(extension, skip_time=True) as harness:
        assert harness.client.call(greet, "Ada") == "Hello Ada of reports"


def test_a_view_runs_in_a_harness() -> None:
    """A stored request is what its handler takes; nothing before the request is run, and no credential is in it."""
    app = Flask("parcels")
    extension = Durably(app, url="memory://")
    app.before_request(lambda: ("never", 500))

    @app.post("/parcels/<int:number>")
    @extension.endpoint(service="parcels")
    def deliver(number: int, ctx: SyncContext) -> dict[str, object]:
        ctx.sleep(timedelta(days=7))
        return {"number": number, "to": identity["name"], "note": request.form["note"]}

    headers = {"authorization": "Bearer secret"}
    data = {"note": "fragile"}
    asked = stored_request(app, "/parcels/7", identity={"name": "ada"}, method="POST", data=data, headers=headers)
    assert b"secret" not in asked.to_json()
    with blocking_test_harness(extension, skip_time=True) as harness:
        assert harness.client.call(deliver, asked) == {"number": 7, "to": "ada", "note": "fragile"}
    for path, method in (("/parcels/7", "GET"), ("/elsewhere", "POST")):
        with pytest.raises(UsageError, match="is no durable view"):
            stored_request(app, path, method=method)
