"""Taking a connection away from a web server's worker, so that it serves others while a caller waits.

Owns which connections can be taken, the swap, and the answer. A gunicorn `sync` worker serves one request at a time:
four of them would serve four waiting callers, and with a Restate Server as the runtime, whose invocations need a worker
too, they would all wait for each other. The server is left with a connection whose other end nobody reads, and does
with it what it does at the end of any request.

| web server | connection |
|---|---|
| gunicorn, `sync` worker | `gunicorn.socket` in the environment |
| uWSGI without threads, over HTTP, `uwsgi` and behind its own router | what its module tells |
| either with TLS of its own | none: its state cannot be handed over |
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from typing import Any, Final, cast

__all__ = ["GRACE_S", "MAX_WAITING", "Reply", "can_take", "connection_of", "join_callers", "take_connection"]

GRACE_S: Final = 0.02
"""How long a worker waits itself: most calls are answered by then, as usual."""

MAX_WAITING: Final = 1000
"""Callers in one process; further ones hold the worker."""

Reply = Callable[[str, list[tuple[str, str]], bytes], None]
"""Takes status, headers and body."""

_SEND_TIMEOUT_S: Final = 30.0
_NOT_PLAIN: Final = ("https-socket", "suwsgi-socket", "gevent", "async", "asyncio")  # uWSGI's options


def can_take(environ: Mapping[str, Any]) -> bool:
    """Say whether the connection of a WSGI request can be taken: of a worker without threads, and without TLS."""
    return environ.get("wsgi.multithread") is False and connection_of(environ) is not None


def connection_of(environ: Mapping[str, Any]) -> int | None:
    """Give the descriptor of the caller's connection; None where it is unknown, or cannot be handed over."""
    held = environ.get("gunicorn.socket")
    if type(held) is socket.socket:  # an SSLSocket is a subclass
        return held.fileno()
    uwsgi: Any = sys.modules.get("uwsgi") if "uwsgi.version" in environ else None
    if uwsgi is None or any(name in uwsgi.opt for name in _NOT_PLAIN):
        return None
    descriptor = cast("int", uwsgi.connection_fd())
    return descriptor if descriptor >= 0 else None


def take_connection(environ: Mapping[str, Any]) -> Reply:
    """Take the connection away from the server, and leave it one whose other end nobody reads.

    Args:
        environ: Of a request that `can_take` accepts, and whose body has been read.

    Returns:
        What writes the answer, once, from any thread. It raises an OSError if the caller has gone.
    """
    held = connection_of(environ)
    assert held is not None, "who takes a connection has asked can_take()"
    connection = socket.socket(fileno=os.dup(held))
    left, unread = socket.socketpair()
    unread.shutdown(socket.SHUT_WR)  # the server may look whether there is more of the request
    os.dup2(left.fileno(), held, inheritable=False)
    left.close()

    def reply(status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        with unread, connection:
            connection.settimeout(_SEND_TIMEOUT_S)
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
            lines += [f"Date: {formatdate(usegmt=True)}", "Connection: close", "", ""]
            connection.sendall("\r\n".join(lines).encode("latin-1") + body)
            connection.shutdown(socket.SHUT_WR)

    return reply


def join_callers(waiting: Iterable[threading.Thread], timeout_s: float) -> None:
    """Give the threads of callers that still wait the time to answer, at the end of the process."""
    deadline_s = time.monotonic() + timeout_s
    for thread in list(waiting):
        thread.join(max(0.0, deadline_s - time.monotonic()))
