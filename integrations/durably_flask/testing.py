"""Calling durable views in a test harness, which has an engine of its own and knows no HTTP.

    with blocking_test_harness(durably, skip_time=True) as harness:
        receipt = harness.client.call(place, stored_request(app, "/orders", method="POST", json={"item": "mug"}))

Owns making the stored request. In tests that need no harness, call the URL with `app.test_client()`.
"""

from __future__ import annotations

from typing import Any

from flask import Flask

from durably.errors import UsageError
from durably_flask.endpoint import find_view
from durably_flask.requests import StoredRequest, store_request
from durably_flask.state import state_of

__all__ = ["stored_request"]


def stored_request(app: Flask, path: str, *, identity: Any = None, **request: Any) -> StoredRequest:
    """Give what is stored of a request to a durable view: the argument of the view's handler.

    Functions that run before each request, and decorators above the view, are not run.

    Args:
        app: The application, which has a `Durably`.
        path: Of the URL, with its query.
        identity: What the hook `Durably(identity=…)` gives for the caller; JSON.
        request: As for `app.test_request_context`: `method`, `json`, `data`, `headers`, ….

    Returns:
        The request, without credentials, as it stands in the journal.

    Raises:
        UsageError: No durable view has this URL and method, or the application has no `Durably`.
    """
    state = state_of(app)
    with app.test_request_context(path, **request) as context:
        found = context.request
        if find_view(app, found.endpoint, found.method) is None:
            raise UsageError(
                f"{found.method} {found.path} is no durable view.",
                hint="Give the path and the method of its route: stored_request(app, '/orders', method='POST').",
            )
        return store_request(found, identity, state.runtime.secret_headers)
