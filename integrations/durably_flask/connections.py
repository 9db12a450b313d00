"""The connection of a caller, taken away from a web server whose worker is to be free before there is an answer.

Owns finding the connection, and the swap: the server is left with one whose other end nobody reads, and does with it
what it does at the end of any request. The caller's is answered later, as HTTP/1.1, and closed.

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
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final, cast

__all__ = ["Reply", "connection_of", "take_connection"]

Reply = Callable[[str, list[tuple[str, str]], bytes], None]
"""Takes status, headers and body."""

_SEND_TIMEOUT_S: Final = 30.0
_NOT_PLAIN: Final = ("https-socket", "suwsgi-socket", "gevent", "async", "asyncio")


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


def take_connection(held: int) -> Reply:
    """Take a connection away from the server.

    Args:
        held: Its descriptor, which is another connection afterwards.

    Returns:
        What writes the answer and closes the connection; it may raise `OSError`.
    """
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
