"""A Django project on a WSGI server.

    from durably_django.wsgi import get_wsgi_application
    application = get_wsgi_application()

Owns the start, and letting workers go. The runtime starts with each worker, so that timers go on and a Restate Server
knows the project before the first request; where gunicorn loads the application before it forks the workers
(`--preload`), it starts in each of them right after. With uWSGI, whose forks Python is not told of, and with Django's
own function it starts with the first request.

Workers that serve one request at a time (gunicorn's `sync`, the default) do not wait with their callers: what leads to
a durable view runs on a thread, and if that takes longer than a moment, the thread answers and the worker goes on.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, TypeAlias

from django.db import connections

from durably.web.handover import GRACE_S, MAX_WAITING, can_take, join_callers, take_connection
from durably.web.looking import start_on_import
from durably_django.runtime import runtime

__all__ = ["DurableWsgi", "get_wsgi_application"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Answer: TypeAlias = tuple[str, list[tuple[str, str]], bytes]

_LARGEST_BODY_BYTES: Final = 32 * 1024 * 1024  # kept in memory while the caller waits; what is larger holds the worker
_LAST_ANSWERS_S: Final = 2.0
_FAILED: Final[Answer] = ("500 Internal Server Error", [("Content-Length", "0")], b"")

_logger = logging.getLogger("durably.django")


def get_wsgi_application() -> DurableWsgi:
    """Give the project's WSGI application; stands where Django's function of the same name stood."""
    from django.core import wsgi

    application = DurableWsgi(wsgi.get_wsgi_application())
    atexit.register(application.finish)  # before the runtime's: callers get their last answers when that has stopped
    if _is_loaded_before_fork():
        os.register_at_fork(after_in_child=_StartOnce())
    else:
        start_on_import(runtime.start_for_request)
    return application


class DurableWsgi:
    """Wraps the WSGI application of Django, or what was put around it."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]]) -> None:
        """Stand before `app`."""
        self.app: Callable[[Environ, StartResponse], Iterable[bytes]] = app
        self._waiting: set[threading.Thread] = set()
        os.register_at_fork(after_in_child=self._waiting.clear)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if can_take(environ) and len(self._waiting) < MAX_WAITING and _may_wait(environ):
            return self._serve_aside(environ, start_response)
        return self.app(environ, start_response)

    def _serve_aside(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve on a thread, and let the worker go if that takes longer than a moment."""
        body = environ["wsgi.input"].read()
        aside = _Aside(self.app, {**environ, "wsgi.input": io.BytesIO(body)}, self._waiting.discard)
        self._waiting.add(aside)
        aside.start()
        if not aside.is_over.wait(GRACE_S):
            aside.answer_on(take_connection(environ))
            start_response("202 Accepted", [("Content-Length", "0")])  # goes nowhere but into the server's log
            return ()
        status, headers, content = aside.answer
        start_response(status, headers)
        return [content]

    def finish(self, timeout_s: float = _LAST_ANSWERS_S) -> None:
        """Give the callers that still wait the time to get their last answer, at the end of the process."""
        join_callers(self._waiting, timeout_s)


class _Aside(threading.Thread):
    """Serves one request, and answers its caller itself if it is told to.

    Attributes:
        is_over: Set when there is an answer.
        answer: Status, headers and body.
    """

    def __init__(self, app: Any, environ: Environ, forget: Callable[[threading.Thread], None]) -> None:
        super().__init__(name="durably-caller", daemon=True)
        self._app = app
        self._environ = environ
        self._forget = forget
        self._reply: Callable[[str, list[tuple[str, str]], bytes], None] | None = None
        self._lock = threading.Lock()
        self.is_over = threading.Event()
        self.answer: Answer = _FAILED

    def run(self) -> None:
        """Serve."""
        try:
            self.answer = _collect(self._app, self._environ)
        except Exception:
            _logger.exception("A request could not be served.")
        finally:
            connections.close_all()
            with self._lock:
                self.is_over.set()
                reply = self._reply
            if reply is not None:
                self._send(reply)
            self._forget(self)

    def answer_on(self, reply: Callable[[str, list[tuple[str, str]], bytes], None]) -> None:
        """Answer this way, now or when there is an answer."""
        with self._lock:
            self._reply = reply
            if not self.is_over.is_set():
                return
        self._send(reply)

    def _send(self, reply: Callable[[str, list[tuple[str, str]], bytes], None]) -> None:
        try:
            reply(*self.answer)
        except OSError as error:
            _logger.debug("A caller who waited has gone: %s", error)


def _collect(app: Any, environ: Environ) -> Answer:
    """Run a WSGI application to its end."""
    head: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
        head[:] = [status, headers]
        return written.append

    written: list[bytes] = []
    chunks: Any = app(environ, start_response)
    try:
        body = b"".join([*written, *chunks])
    finally:
        with suppress(AttributeError):
            chunks.close()
    return head[0], head[1], body


def _may_wait(environ: Environ) -> bool:
    """Say whether a request leads to what waits for a result, and has a body that can be kept."""
    from django.core.handlers.wsgi import get_path_info

    from durably_django.discovery import leads_to_durable

    length = environ.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in environ or not length.isdecimal() or int(length) > _LARGEST_BODY_BYTES:
        return False
    return leads_to_durable(get_path_info(environ))


def _is_loaded_before_fork() -> bool:
    """Say whether gunicorn, or uWSGI, loads the application in the process that forks the workers."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return not uwsgi.worker_id()
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] # documented, and nothing else tells
    is_arbiter = False
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("gunicorn.workers."):
            return False
        is_arbiter = is_arbiter or name == "gunicorn.arbiter"
        frame = frame.f_back
    return is_arbiter


class _StartOnce:
    """Starts the runtime in a process that was forked, but not in what that forks."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __call__(self) -> None:
        if os.getppid() == self._pid:
            threading.Thread(target=runtime.start_for_request, name="durably-start", daemon=True).start()
