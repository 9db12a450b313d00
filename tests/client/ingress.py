"""A tiny HTTP server in the place of the ingress: records what arrives and answers what it is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered; status 0 hangs up, and `pause` seconds pass before each byte."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    pause: float = 0.0


@dataclass
class Ingress:
    """What the server was asked, and what it answers next."""

    url: str
    received: list[Received] = field(default_factory=list[Received])
    answers: list[Answer] = field(default_factory=list[Answer])
    delay: threading.Event | None = None
    connections: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer the next request so; unless told, it is 200 without a body. `_` in names of headers stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(Answer(status, body, named))

    def hang_up(self) -> None:
        """Close the connection instead of answering the next request."""
        self.answers.append(Answer(0, b"", {}))

    def trickle(self, body: bytes, pause: float) -> None:
        """Answer the next request byte by byte."""
        self.answers.append(Answer(200, body, {}, pause))

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.received[-1]


@contextmanager
def running_ingress() -> Iterator[Ingress]:
    """Run the server on a free port for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            ingress.received.append(Received(self.command, self.path, headers, body))
            if ingress.delay is not None:
                ingress.delay.wait(5)
            ingress.connections.add(self.client_address)
            answer = ingress.answers.pop(0) if ingress.answers else Answer(200, b"", {})
            if answer.status == 0:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status)
            self.send_header("content-length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            try:
                self.end_headers()
                for piece in [answer.body[at : at + 1] for at in range(len(answer.body))] if answer.pause else []:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(answer.pause)
                self.wfile.write(b"" if answer.pause else answer.body)
            except (BrokenPipeError, ConnectionResetError):  # the client did not wait
                self.close_connection = True

        do_GET = do_POST = do_PATCH = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ingress = Ingress(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ingress
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
