"""The ASGI application under the name that web servers expect."""

from __future__ import annotations

from tests.conformance.services.application import asgi

__all__ = ["app"]

app = asgi()
