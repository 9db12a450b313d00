"""A tiny HTTP server in the place of the ingress: records what arrives and answers what it is told."""

from __future__ import annotations

import threading
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


@dataclass
class Ingress:
    """What the server was asked, and what it answers next."""

    url: str
    received: list[Received] = field(default_factory=list[Received])
    answers: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    delay: threading.Event | None = None

    def answer(self, body: bytes = b"", status: int = 200) -> None:
        """Answer the next request so; unless told, it is 200 without a body."""
        self.answers.append((status, body))

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
            status, answer = ingress.answers.pop(0) if ingress.answers else (200, b"")
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            try:
                self.end_headers()
                self.wfile.write(answer)
            except BrokenPipeError:  # the client did not wait
                self.close_connection = True

        do_GET = do_POST = _serve

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
