"""The WSGI application under the name that web servers expect."""

from __future__ import annotations

from tests.conformance.services.application import wsgi

__all__ = ["app"]

app = wsgi()
