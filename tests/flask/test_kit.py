"""The test kit takes the extension as it is: handlers run as in the application, without its own engine."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask, current_app

from durably import SyncContext
from durably.testing import blocking_test_harness
from durably_flask import Durably


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
