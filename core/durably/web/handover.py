"""Taking a connection away from a web server's worker, so that it serves others while a caller waits.

Owns which connections can be taken, and the answer on them. A gunicorn `sync` worker serves one request at a time: four
of them would serve four waiting callers, and with a Restate Server as the runtime, whose invocations need a worker too,
they would all wait for each other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final

__all__ = ["GRACE_S", "MAX_WAITING", "Reply", "can_take", "take_connection"]

GRACE_S: Final = 0.02
"""How long a worker waits itself: most calls are answered by then, as usual."""

MAX_WAITING: Final = 1000
"""Callers in one process; further ones hold the worker."""

Reply = Callable[[str, list[tuple[str, str]], bytes], None]
"""Takes status, headers and body."""

_SEND_TIMEOUT_S: Final = 30.0


def can_take(environ: dict[str, Any]) -> bool:
    """Say whether the connection of a WSGI request can be taken: of gunicorn's `sync` workers, without TLS."""
    # An SSLSocket is a subclass, and its state cannot be handed over.
    return environ.get("wsgi.multithread") is False and type(environ.get("gunicorn.socket")) is socket.socket


def take_connection(environ: dict[str, Any]) -> Reply:
    """Take the connection away from gunicorn, and leave it one whose other end nobody reads.

    Args:
        environ: Of a request that `can_take` accepts, and whose body has been read.

    Returns:
        What writes the answer, once, from any thread. It raises an OSError if the caller has gone.
    """
    held: socket.socket = environ["gunicorn.socket"]
    connection = held.dup()
    left, unread = socket.socketpair()
    unread.shutdown(socket.SHUT_WR)  # gunicorn looks whether there is more of the request
    os.dup2(left.fileno(), held.fileno(), inheritable=False)
    left.close()

    def reply(status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        with unread, connection:
            connection.settimeout(_SEND_TIMEOUT_S)
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
            lines += [f"Date: {formatdate(usegmt=True)}", "Connection: close", "", ""]
            connection.sendall("\r\n".join(lines).encode("latin-1") + body)
            connection.shutdown(socket.SHUT_WR)

    return reply
