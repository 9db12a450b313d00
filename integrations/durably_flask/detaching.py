"""Callers that wait, on web servers whose workers serve one request at a time.

Owns letting such a worker go while a caller waits for a result: the connection is taken away from it
(`durably.web.handover`), and the answer is written when there is one.

| web server | a caller who waits |
|---|---|
| gunicorn `sync` and uWSGI without threads, both without TLS | holds a thread that only waits, after `GRACE_S` |
| our ASGI layer | the same |
| gunicorn `gthread`, `gevent`, uWSGI with threads, waitress, `flask run` | holds one of the server's threads |
| others without threads | with a Restate Server: 202 after `PATIENCE_S`; with the embedded engine: holds the worker |

The answer passes the functions that the application runs after each request, in a request context of its own.
"""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from flask.wrappers import Response

from durably.web.handover import GRACE_S, MAX_WAITING, Reply, can_take, join_callers, take_connection
from durably.web.outcomes import Outcome

__all__ = [
    "GRACE_S",
    "PATIENCE_S",
    "REPLY",
    "Detached",
    "ReplyLater",
    "can_detach",
    "finish_detached",
    "hand_over",
    "wait_for",
]

PATIENCE_S: Final = 10
"""How long one waits that cannot be let go, while invocations may need it."""

REPLY: Final = "durably.reply"
"""Name of a `ReplyLater` in the environment, where a server layer offers one."""


@dataclass(slots=True)
class ReplyLater:
    """What a server layer offers: to take an answer when the application has returned.

    Attributes:
        send: Takes it.
        is_taken: Whether the answer comes this way; what the application returned is none then.
    """

    send: Reply
    is_taken: bool = False


_logger = logging.getLogger("durably.flask")
_waiting: set[threading.Thread] = set()


class Detached(BaseException):
    """Leaves a view whose caller waits on. No `except Exception` of an application gets in the way."""

    def __init__(self, outcome: Future[Outcome], respond: Callable[[Outcome], Response], body: bytes) -> None:
        """Keep what answers later."""
        super().__init__("The caller of a durable view waits on; the worker is free.")
        self.outcome = outcome
        self.respond = respond
        self.body = body


def can_detach(environ: dict[str, Any]) -> bool:
    """Say whether the answer to a request can be given after its worker was let go."""
    if len(_waiting) >= MAX_WAITING:
        return False
    return REPLY in environ or can_take(environ)


def wait_for(work: Callable[[], Outcome], respond: Callable[[Outcome], Response], body: bytes) -> Outcome:
    """Do `work` on a thread of its own and wait a moment for it.

    Raises:
        Detached: It takes longer.
    """
    future: Future[Outcome] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised again where it is waited for
            future.set_exception(error)
        finally:
            _waiting.discard(threading.current_thread())

    thread = threading.Thread(target=run, name="durably-caller", daemon=True)
    _waiting.add(thread)
    thread.start()
    try:
        return future.result(GRACE_S)
    except NotYet:
        if future.done():  # it ended meanwhile, or with this very error
            return future.result()
        raise Detached(future, respond, body) from None


def hand_over(
    app: Flask, environ: dict[str, Any], start_response: Callable[..., Any], detached: Detached
) -> Iterable[bytes]:
    """Let the worker go, and answer when there is an outcome.

    What is returned goes nowhere; to middleware and to the log of the web server it says that the answer comes later.
    """
    later: ReplyLater | None = environ.get(REPLY)
    if later is None:
        reply = take_connection(environ)
    else:
        later.is_taken = True
        reply = later.send
    again = {**environ, "wsgi.input": io.BytesIO(detached.body), "CONTENT_LENGTH": str(len(detached.body))}
    detached.outcome.add_done_callback(lambda outcome: _answer(app, again, detached, outcome, reply))
    start_response("202 Accepted", [("Content-Length", "0")])
    return ()


def finish_detached(timeout_s: float) -> None:
    """Give the callers that still wait the time to get their last answer, at the end of the process."""
    join_callers(_waiting, timeout_s)


def _answer(app: Flask, environ: dict[str, Any], detached: Detached, outcome: Future[Outcome], reply: Reply) -> None:
    """Make the answer as at the end of a request, and send it."""
    try:
        reply(*_final(app, environ, detached, outcome))
    except OSError as error:
        _logger.debug("A caller who waited has gone: %s", error)
    except Exception:
        _logger.exception("A caller who waited could not be answered.")
        with suppress(OSError):
            reply("500 INTERNAL SERVER ERROR", [("Content-Length", "0")], b"")


def _final(
    app: Flask, environ: dict[str, Any], detached: Detached, outcome: Future[Outcome]
) -> tuple[str, list[tuple[str, str]], bytes]:
    with app.request_context(environ) as context:
        try:
            try:
                response = detached.respond(outcome.result())
            except Exception as error:
                response = app.make_response(app.handle_user_exception(error))
            response = app.process_response(response)
        except Exception as unhandled:
            response = app.handle_exception(unhandled)
        headers = response.get_wsgi_headers(context.request.environ)
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else response.get_data()
        return response.status, [(name, value) for name, value in headers.items()], body


def _forget_waiting() -> None:
    _waiting.clear()


os.register_at_fork(after_in_child=_forget_waiting)
