"""How the end of a request body is found on each WSGI server."""

from __future__ import annotations

import io
import socket
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

import pytest

from durably.errors import RemoteProtocolError
from durably.hosting.body import CHUNK_BYTES, read_body


class Blocking(io.RawIOBase):
    """A stream of which any read is a mistake: on a socket it would block for ever."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise AssertionError("this stream must not be read")


def environ(stream: Any, **entries: Any) -> dict[str, Any]:
    """Build an environ around a body stream."""
    return {"REQUEST_METHOD": "POST", "wsgi.input": stream, **{key.replace("__", "."): entries[key] for key in entries}}


def read(stream: Any, **entries: Any) -> bytes:
    """Read the whole body."""
    return b"".join(read_body(environ(stream, **entries)))


def test_content_length_reads_exactly_that_many():
    """What follows on the connection belongs to the next request."""
    stream = io.BytesIO(b"body-and-next-request")
    assert read(stream, CONTENT_LENGTH="4") == b"body"
    assert stream.read() == b"-and-next-request"


def test_a_large_body_comes_in_bounded_chunks():
    """A body is never held whole by the reader, so that a bad frame header ends it early."""
    chunks = list(read_body(environ(io.BytesIO(b"x" * (3 * CHUNK_BYTES + 1)), CONTENT_LENGTH=str(3 * CHUNK_BYTES + 1))))
    assert [len(chunk) for chunk in chunks] == [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 1]


def test_a_body_shorter_than_its_length_is_an_error():
    """A cut connection does not look like a short body."""
    with pytest.raises(RemoteProtocolError, match="3 bytes before"):
        read(io.BytesIO(b"ab"), CONTENT_LENGTH="5")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "٣", "1,1"])
def test_a_length_that_is_no_number_is_an_error(length: str):
    """Only ASCII digits count."""
    with pytest.raises(RemoteProtocolError, match="not a number"):
        read(Blocking(), CONTENT_LENGTH=length)


def test_input_terminated_reads_to_the_end():
    """gunicorn, granian, waitress, cheroot and werkzeug say that their stream ends."""
    assert read(io.BufferedReader(Whole(b"abc")), wsgi__input_terminated=True) == b"abc"


class Whole(io.RawIOBase):
    """A raw stream that ends."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


def test_uwsgi_reads_with_its_own_function(monkeypatch: pytest.MonkeyPatch):
    """On uWSGI a chunked body is not in wsgi.input at all."""
    chunks = iter([b"ab", b"c", b""])
    module = types.ModuleType("uwsgi")
    module.chunked_read = lambda: next(chunks)  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert read(Blocking(), uwsgi__version=b"2", HTTP_TRANSFER_ENCODING="chunked") == b"abc"


def test_uwsgi_with_a_length_reads_the_stream():
    """A length wins over everything else."""
    assert read(io.BytesIO(b"abc"), uwsgi__version=b"2", CONTENT_LENGTH="3") == b"abc"


class Limited(io.IOBase):
    """As Django wraps a request without Content-Length: it reads nothing, and keeps the bound `read`."""

    def __init__(self, stream: Any) -> None:
        self._read = stream.read

    def read(self, size: int = -1) -> bytes:
        return b""


CHUNKED = b"3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext"


@pytest.mark.parametrize("wrap", [Limited, lambda stream: stream], ids=["django", "wsgiref"])
def test_runserver_chunking_is_undone(wrap: Any):
    """Chunk sizes in hexadecimal, extensions and trailers are understood, and the next request is left alone."""
    raw = io.BytesIO(CHUNKED)
    body = read(wrap(raw), SERVER_SOFTWARE="WSGIServer/0.2", HTTP_TRANSFER_ENCODING="chunked")
    assert body == b"abc0123456789"
    assert raw.read() == b"next"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"xyz\r\n",
        b"-1\r\n",
        b"3\r\nab",
        b"3\r\nabcd\r\n",
        b"3",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"0_3\r\nabc\r\n",
        b"0\r\n" + b"T: x\r\n" * 200,
    ],
)
def test_malformed_chunking_is_an_error(raw: bytes):
    """A chunked body that was cut or forged never passes for a whole one."""
    with pytest.raises(RemoteProtocolError):
        read(io.BytesIO(raw), SERVER_SOFTWARE="WSGIServer/0.2", HTTP_TRANSFER_ENCODING="chunked")


@pytest.fixture
def spooled() -> Iterator[Any]:
    """A body that an ASGI server spooled to a file."""
    with tempfile.SpooledTemporaryFile() as file:
        file.write(b"abc")
        file.seek(0)
        yield file


def test_streams_in_memory_are_read_to_the_end(spooled: Any):
    """Servers that buffer hand over such streams without a length."""
    assert read(io.BytesIO(b"abc")) == b"abc"
    assert read(spooled) == b"abc"


def test_a_wrapped_asgi_application_is_read_to_the_end():
    """The ASGI-to-WSGI bridges end their stream."""
    assert read(io.BufferedReader(Whole(b"abc")), asgi__scope={}) == b"abc"


def test_without_any_sign_of_a_body_nothing_is_read():
    """A socket's stream with neither length nor chunking would block for ever."""
    assert read(io.BufferedReader(Blocking())) == b""
    assert read(io.BufferedReader(Blocking()), CONTENT_LENGTH="0") == b""
    assert read(io.BufferedReader(Blocking()), CONTENT_LENGTH="") == b""


def test_errors_of_the_stream_reach_the_caller():
    """A peer that is gone is told apart from a malformed body."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        ours.settimeout(0.01)
        with pytest.raises(OSError, match="timed out"):
            read(stream, CONTENT_LENGTH="3")
