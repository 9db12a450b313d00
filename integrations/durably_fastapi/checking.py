"""What is checked when an application is complete, before it serves.

Owns the search for endpoints whose decorators stand in the wrong order: then the route leads to the plain function,
which would look durable and not be it.
"""

from __future__ import annotations

from fastapi import FastAPI

from durably.endpoint import Endpoint
from durably.errors import RegistrationError
from durably_fastapi.analysis import describe_call
from durably_fastapi.endpoint import find_endpoint
from durably_fastapi.shim import routes_of

__all__ = ["check_routes"]


def check_routes(app: FastAPI, endpoint: Endpoint) -> None:
    """Refuse durable endpoints that no route leads to, while one leads to the function below them.

    Raises:
        RegistrationError: Names the first one.
    """
    for service in endpoint.services.values():
        for handler in service.handlers.values():
            found = find_endpoint(handler)
            if found is None or routes_of(app, found.edge):
                continue
            for route in routes_of(app, found.function):
                raise RegistrationError(
                    f"The route {route.path} leads to {describe_call(found.function)} itself, so it is not durable.",
                    hint="Write @durably.endpoint below the decorator of the route, not above it.",
                )
