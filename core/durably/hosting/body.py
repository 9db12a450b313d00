"""Reads a request body from a WSGI environ, whatever the server made of it.

Owns the order of rules by which the end of a body is recognised. WSGI says nothing about bodies without a
Content-Length, and the runtime sends chunked ones over HTTP/1.1, so each server needs its own:

1. `CONTENT_LENGTH` above zero: exactly that many bytes.
2. `wsgi.input_terminated`: to the end of the stream (gunicorn, granian, waitress, cheroot, werkzeug).
3. uWSGI and a chunked body: its own `chunked_read`, because `wsgi.input` stays empty.
4. wsgiref's server and a chunked body: undo the chunking on the raw stream (Django's `runserver`).
5. A stream in memory, or one that an ASGI server hands on: to the end.
6. Otherwise there is no body. Reading to the end of a socket would block for ever.

Source: ours, docs/design; measured behaviour of the servers.
"""

from __future__ import annotations

import importlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, cast

from durably.errors import RemoteProtocolError

__all__ = ["CHUNK_BYTES", "read_body"]

CHUNK_BYTES: Final = 65536  # one read; the unit in which a machine is fed
_CHUNK_HEADER_LIMIT: Final = 8192  # bytes of one chunk-size or trailer line
_TRAILER_LIMIT: Final = 100  # trailer lines

Environ = Mapping[str, Any]


def read_body(environ: Environ) -> Iterator[bytes]:
    """Give the request body in chunks of at most 64 KiB or as the server chunks it, none of them empty.

    Args:
        environ: The WSGI environ of the request. Its `wsgi.input` is consumed.

    Raises:
        RemoteProtocolError: The length is not a number, the body ends too early or its chunking is malformed.
            The connection cannot be used for another request.
        OSError: From the server's stream: the peer is gone or was too slow.
    """
    stream = cast("IO[bytes]", environ["wsgi.input"])
    length = _content_length(environ)
    if length:
        return _read_exactly(stream, length)
    if environ.get("wsgi.input_terminated"):
        return _read_to_end(stream)
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        if "uwsgi.version" in environ:
            return _read_uwsgi()
        if str(environ.get("SERVER_SOFTWARE", "")).startswith("WSGIServer"):
            return _undo_chunking(_raw_stream(stream))
    if isinstance(stream, (io.BytesIO, tempfile.SpooledTemporaryFile)) or "asgi.scope" in environ:
        return _read_to_end(stream)
    return iter(())


def _content_length(environ: Environ) -> int:
    text = str(environ.get("CONTENT_LENGTH") or "0").strip()
    if not (text.isascii() and text.isdigit()):
        raise RemoteProtocolError("The request's Content-Length is not a number.", code=400)
    return int(text)


def _read_exactly(stream: IO[bytes], length: int) -> Iterator[bytes]:
    left = length
    while left > 0:
        chunk = stream.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise RemoteProtocolError(f"The request body ended {left} bytes before its Content-Length.", code=400)
        left -= len(chunk)
        yield chunk


def _read_to_end(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _read_uwsgi() -> Iterator[bytes]:
    # The module exists only inside the uWSGI server.
    chunked_read = cast("Callable[[], bytes]", importlib.import_module("uwsgi").chunked_read)
    while chunk := chunked_read():
        yield chunk


def _raw_stream(stream: IO[bytes]) -> IO[bytes]:
    # Django wraps the socket's file in a stream limited to the absent Content-Length, that is to nothing, and keeps
    # only the file's bound `read`. There is no public way to the file. A development server only.
    bound_read = getattr(stream, "_read", None)
    return cast("IO[bytes]", getattr(bound_read, "__self__", stream))


def _undo_chunking(stream: IO[bytes]) -> Iterator[bytes]:
    while size := _chunk_size(stream.readline(_CHUNK_HEADER_LIMIT)):
        yield from _read_exactly(stream, size)
        if stream.readline(_CHUNK_HEADER_LIMIT).strip():
            raise RemoteProtocolError("A chunk of the request body is longer than it says.", code=400)
    for _ in range(_TRAILER_LIMIT):
        if not stream.readline(_CHUNK_HEADER_LIMIT).strip():
            return
    raise RemoteProtocolError("The request body has too many trailers.", code=400)


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    if not line.endswith(b"\n") or not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise RemoteProtocolError("The request body's chunking is malformed.", code=400)
    return int(digits, 16)
