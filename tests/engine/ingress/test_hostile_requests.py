"""Requests that no client sends by accident, byte by byte, on the sockets of an engine's command."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess

HOST = b"host: 127.0.0.1\r\n"
CALL = b"POST /Counter/k/add HTTP/1.1\r\n"
LABEL = b"content-type: application/json\r\n"
ONE = b"content-length: 1\r\n\r\n1"
MANY = b"".join(b"x-%d: 1\r\n" % number for number in range(99))

# The last column is what a Restate Server of release 1.7 answers, where it is more trusting.
REQUESTS = {
    "sound": (CALL + HOST + LABEL + ONE, 200, None),
    "two lengths": (CALL + HOST + LABEL + b"content-length: 2\r\n" + ONE, 400, None),
    "a length and chunks": (CALL + HOST + LABEL + b"transfer-encoding: chunked\r\n" + ONE, 400, 200),
    "a negative length": (CALL + HOST + LABEL + b"content-length: -1\r\n\r\n", 400, None),
    "a huge length": (CALL + HOST + LABEL + b"content-length: 99999999999\r\n\r\n1", 413, None),
    "a bad chunk": (CALL + HOST + LABEL + b"transfer-encoding: chunked\r\n\r\nzz\r\n1\r\n0\r\n\r\n", 400, 500),
    "a line feed in a header": (CALL + HOST + LABEL + b"x-a: b\nx-c: d\r\n" + ONE, 400, 200),
    "a carriage return in a header": (CALL + HOST + LABEL + b"x-a: b\rc\r\n" + ONE, 400, None),
    "NUL in a header": (CALL + HOST + LABEL + b"x-a: b\0c\r\n" + ONE, 400, None),
    "UTF-8 in a header": (CALL + HOST + LABEL + "x-a: é\r\n".encode() + ONE, 400, None),
    "a blank in a name": (CALL + HOST + LABEL + b"x a: b\r\n" + ONE, 400, None),
    "a blank after a name": (CALL + HOST + LABEL + b"x-a : b\r\n" + ONE, 400, None),
    "a folded header": (CALL + HOST + LABEL + b"x-a: b\r\n c\r\n" + ONE, 400, None),
    "two idempotency keys": (CALL + HOST + LABEL + b"idempotency-key: a\r\nidempotency-key: b\r\n" + ONE, 400, 200),
    "a long idempotency key": (CALL + HOST + LABEL + b"idempotency-key: " + b"a" * 1025 + b"\r\n" + ONE, 400, 200),
    "a hundred and two headers": (CALL + HOST + LABEL + MANY + ONE, 431, None),
    "a long header": (CALL + HOST + LABEL + b"x-a: " + b"a" * 66_000 + b"\r\n" + ONE, 431, 200),
    "a foreign host": (CALL + b"host: evil.example\r\n" + LABEL + ONE, 403, 200),
    "a foreign host first": (CALL + b"host: evil.example\r\n" + HOST + LABEL + ONE, 403, 200),
    "a foreign host last": (CALL + HOST + b"host: evil.example\r\n" + LABEL + ONE, 403, 200),
    "a foreign page": (CALL + HOST + LABEL + b"origin: http://evil.example\r\n" + ONE, 403, 200),
    "a page of nobody": (CALL + HOST + LABEL + b"origin: null\r\n" + ONE, 403, 200),
    "a preflight": (CALL.replace(b"POST", b"OPTIONS") + HOST + b"origin: http://evil.example\r\n\r\n", 403, 200),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400, None),
    "an echo": (CALL.replace(b"POST", b"TRACE") + HOST + b"\r\n", 405, None),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n", 400, None),
}
KEYS = [
    *(
        "..",
        ".",
        "%2e%2e",
        "a/b",
        "a%2Fb",
        "a?b#c",
        " ",
        "\0",
        "\r\n",
        "\x1b[31m",
        "'; DROP TABLE state; --",
        '"',
        "\\",
    ),
    *(
        "__class__",
        "../../admin",
        "/invoke/x/y",
        "\u202egnp.exe",
        "\ufeff",
        "é",
        "e\u0301",
        "😀",
        "a" * 8192,
        "%",
        "%%",
        "%zz",
    ),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine with the contract services in its process."""
    column = Column(Host.IN_PROCESS, Handlers.ASYNC, Setting.DEFAULT, server=Server.ENGINE)
    process = EngineProcess(column, tmp_path_factory.mktemp("hostile"))
    process.start()
    yield process
    process.stop()


def port_of(url: str) -> int:
    """Give the port of a URL."""
    return int(url.rpartition(":")[2])


def counted(engine: EngineProcess) -> int:
    """Say how often the counter was called."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(engine.ingress_url), timeout=10)
    connection.request("GET", "/Counter/k/get")
    found = int(connection.getresponse().read())
    connection.close()
    return found


@pytest.mark.parametrize(("raw", "status", "trusting"), REQUESTS.values(), ids=REQUESTS)
def test_a_hostile_request_does_nothing(engine: EngineProcess, raw: bytes, status: int, trusting: int | None) -> None:
    """It is answered at once with a status of its own, and nothing was called."""
    before = counted(engine)
    with socket.create_connection(("127.0.0.1", port_of(engine.ingress_url)), timeout=10) as connection:
        connection.sendall(raw)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 %d " % status), trusting
    assert b"access-control-" not in answer.lower()
    assert counted(engine) == before + (status == 200)


def test_a_large_body_is_refused_before_it_is_read(engine: EngineProcess) -> None:
    """413 at the header; what follows is not kept in memory."""
    with socket.create_connection(("127.0.0.1", port_of(engine.ingress_url)), timeout=10) as connection:
        connection.sendall(CALL + HOST + LABEL + b"content-length: %d\r\n\r\n" % (32 * 1024 * 1024 + 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_a_key_is_what_was_sent(engine: EngineProcess, key: str) -> None:
    """Any text is a key, decoded once; it reaches the handler and the state as it is, and no other key."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(engine.ingress_url), timeout=10)
    path = f"/MapObject/{quote(key, safe='')}/set"
    connection.request("POST", path, b'{"key": "k", "value": "v"}', {"content-type": "application/json"})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    connection.close()
    admin = http.client.HTTPConnection("127.0.0.1", port_of(engine.admin_url), timeout=10)
    named = key.encode().hex().upper()
    sql = f"SELECT count(*) AS n FROM state WHERE service_name = 'MapObject' AND hex(service_key) = '{named}'"
    admin.request("POST", "/query", json.dumps({"query": sql}), {"content-type": "application/json"})
    assert admin.getresponse().read() == b'{"rows":[{"n":1}]}'
    admin.close()
