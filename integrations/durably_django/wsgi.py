"""A Django project on a WSGI server.

    from durably_django.wsgi import get_wsgi_application
    application = get_wsgi_application()

Owns the start: the runtime starts with each worker, so that timers go on and a Restate Server knows the project before
the first request. With Django's own function it starts with the first request. A server that loads the application
before it forks (`gunicorn --preload`) needs Django's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durably.web.looking import start_on_import
from durably_django.runtime import runtime

if TYPE_CHECKING:
    from django.core.handlers.wsgi import WSGIHandler

__all__ = ["get_wsgi_application"]


def get_wsgi_application() -> WSGIHandler:
    """Give the project's WSGI application; stands where Django's function of the same name stood."""
    from django.core import wsgi

    application = wsgi.get_wsgi_application()
    start_on_import(runtime.start_for_request)
    return application
