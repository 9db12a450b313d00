"""Taking a connection away from a worker: which can be taken, and what the caller receives."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from durably.web.handover import can_take, take_connection


def environ_of(connection: socket.socket) -> dict[str, Any]:
    """Give what gunicorn's `sync` worker hands to an application."""
    return {"wsgi.multithread": False, "gunicorn.socket": connection}


def test_only_plain_connections_of_workers_without_threads_are_taken():
    """A worker with threads waits itself, and the state of TLS cannot be handed over."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        environ = environ_of(theirs)
        assert can_take(environ)
        assert not can_take({**environ, "wsgi.multithread": True})
        assert not can_take({"wsgi.multithread": False})
        assert not can_take({**environ, "gunicorn.socket": object()})


def test_the_caller_gets_the_answer_and_nothing_of_the_worker():
    """What the server still writes, and that it closes, does not reach the caller; the late answer does, once."""
    mine, theirs = socket.socketpair()
    mine.settimeout(5)
    with mine:
        reply = take_connection(environ_of(theirs))
        with theirs:
            theirs.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n")
            assert theirs.recv(10) == b"", "the server must see the end of the requests"
        threading.Thread(target=reply, args=("201 Created", [("X-Mine", "é"), ("Content-Length", "2")], b"ok")).start()
        received = b"".join(iter(lambda: mine.recv(1000), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    assert lines[0] == "HTTP/1.1 201 Created"
    assert {"X-Mine: é", "Content-Length: 2", "Connection: close"} <= set(lines)
    assert body == b"ok"


def test_a_caller_who_has_gone_is_an_error_of_the_connection():
    """Whoever answers learns it as an OSError, and nothing stays open."""
    mine, theirs = socket.socketpair()
    reply = take_connection(environ_of(theirs))
    theirs.close()
    mine.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        reply("200 OK", [], b"x" * 1_000_000)
