"""What hostile, broken and foreign requests get from an endpoint behind a real server, how fast, and at what cost."""

from __future__ import annotations

import json
import time

import pytest

from durably.protocol import messages
from durably.protocol.framing import encode_frame
from durably.protocol.messages import MessageType
from tests.acceptance.conftest import StartServer
from tests.acceptance.peers import H1Peer, H2Peer, Peer
from tests.acceptance.servers import Server
from tests.hosting import wire
from tests.hosting.signing import Signer

T = MessageType
MIB = 1024 * 1024
LIMIT_S = 1.0  # generous on a shared machine; the figure that is printed should be far below 0.1

HUGE_HEADER = b"\x04\x00\x00\x00\xff\xff\xff\xff"
WRONG_UTF8 = encode_frame(
    T.INPUT, b"\x62\x02\xff\xfe" + messages.InputCommand(value=messages.Value()).SerializeToString()
)

# Bodies that are wrong as soon as they have arrived, and bodies that are wrong because they end.
WRONG_AT_ONCE = {
    "unknown type": b"\x03\xff\x00\x00\x00\x00\x00\x00",
    "custom entry": encode_frame(0xFC01, b"x"),
    "garbage": b"\xde\xad\xbe\xef" * 64,
    "text": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "4 GiB header": HUGE_HEADER,
    "33 MiB header": b"\x04\x00\x00\x00" + (33 * MIB).to_bytes(4, "big"),
    "Start that is no protobuf": encode_frame(T.START, b"\xff" * 32),
    "Input before Start": wire.given(),
    "Start twice": wire.start(2) + wire.start(2),
    "End from the runtime": encode_frame(T.END, b""),
    "no entries": wire.start(0),
    "first entry is a step": wire.start() + wire.run_command(1, "x"),
    "Input with a name that is no UTF-8": wire.start() + WRONG_UTF8,
    "Output in place of Input": wire.start() + encode_frame(T.OUTPUT, b""),
}
WRONG_AT_THE_END = {
    "empty body": b"",
    "half a header": wire.fresh()[:5],
    "half a Start": wire.start()[:-1],
    "Start without entries": wire.start(),
    "half an Input": wire.fresh()[:-1],
    "notification before the input": wire.start(2) + wire.run_completion(1, b"0"),
    "fewer entries than announced": wire.start(3) + wire.given(),
}


def peer_of(server: Server) -> Peer:
    """Connect with the best protocol that the server speaks."""
    return H2Peer(server.port) if server.name in ("hypercorn", "granian") else H1Peer(server.port)


def assert_refused(peer: Peer) -> None:
    """Check that the answer is one Error message and nothing else."""
    (error,) = wire.read(bytes(peer.body))
    assert peer.status == 200
    assert error.kind is T.ERROR
    assert error.message.code in (500, 570, 571)
    assert error.message.message


ALL = {**WRONG_AT_ONCE, **WRONG_AT_THE_END}
SERVERS = ["hypercorn", "granian", "uvicorn", "gunicorn-asgi", "gunicorn-gthread"]


@pytest.mark.parametrize("handler", ["Probe/steps", "PlainProbe/steps"])
@pytest.mark.parametrize("name", SERVERS)
def test_malformed_bodies_are_answered_at_once(start_server: StartServer, name: str, handler: str):
    """Every kind of malformed body gets one Error message and the end of its response, within 100 ms when idle."""
    server = start_server(name)
    slowest: tuple[float, str] = (0.0, "")
    for kind, body in ALL.items():
        with peer_of(server) as peer:
            started_s = time.monotonic()
            peer.open(f"/invoke/{handler}")
            peer.send(body, end=True)
            peer.finished()
            slowest = max(slowest, (time.monotonic() - started_s, kind))
            assert peer.has_ended, kind
            assert_refused(peer)
    print(f"{name} {handler}: {len(ALL)} malformed bodies, slowest {slowest[0] * 1000:.0f} ms ({slowest[1]})")
    assert slowest[0] < LIMIT_S, slowest
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("handler", ["Probe/steps", "PlainProbe/steps"])
@pytest.mark.parametrize("name", ["hypercorn", "granian", "uvicorn", "gunicorn-asgi"])
def test_malformed_bodies_are_answered_while_the_request_is_open(start_server: StartServer, name: str, handler: str):
    """The runtime keeps its side open for a minute; the Error does not wait for that."""
    server = start_server(name)
    slowest = 0.0
    for body in WRONG_AT_ONCE.values():
        with peer_of(server) as peer:
            peer.open(f"/invoke/{handler}")
            peer.send(body)
            slowest = max(slowest, peer.until(lambda peer=peer: len(peer.body) > 0))
            assert_refused(peer)
            assert not peer.has_ended
            peer.send(b"", end=True)
            peer.finished()
            assert peer.has_ended
    print(f"{name} {handler}: slowest answer on an open request {slowest * 1000:.0f} ms")
    assert slowest < LIMIT_S


@pytest.mark.parametrize("handler", ["Probe/steps", "PlainProbe/steps"])
@pytest.mark.parametrize("name", SERVERS)
def test_a_frame_of_4_gib_is_refused_at_its_header(start_server: StartServer, name: str, handler: str):
    """The announced length costs nothing: the header is answered, and what follows is not kept."""
    server = start_server(name)
    worker = server.worker()

    def send_one(body: bytes) -> float:
        with peer_of(server) as peer:
            started_s = time.monotonic()
            peer.open(f"/invoke/{handler}")
            peer.send(HUGE_HEADER)
            if name != "gunicorn-gthread":
                peer.until(lambda: len(peer.body) > 0)
            elapsed_s = time.monotonic() - started_s
            peer.send(body, end=True)
            peer.finished()
            assert_refused(peer)
            return elapsed_s

    elapsed_s = send_one(b"\0" * (4 * MIB))  # so that buffers of the server which stay are not counted
    growths: list[int] = []
    for _ in range(3):  # the allocator of a busy server moves a little by itself; a buffer would be seen each time
        before = worker.memory_info().rss
        elapsed_s = send_one(b"\0" * (4 * MIB))
        growths.append(worker.memory_info().rss - before)
    growth = min(growths)
    print(f"{name} {handler}: answered in {elapsed_s * 1000:.0f} ms, resident memory {growth / 1024:+.0f} KiB")
    assert elapsed_s < LIMIT_S
    assert growth < MIB


@pytest.mark.parametrize("name", [*SERVERS, "gunicorn-sync", "waitress"])
def test_foreign_requests_get_their_status(start_server: StartServer, name: str):
    """404, 405 and 415 as specified, each naming the server, on an open connection that is not cut."""
    server = start_server(name)
    for method, path, content_type, status in (
        ("POST", "/invoke/Probe/nothing", wire.V6, 404),
        ("POST", "/invoke/Nobody/waits", wire.V6, 404),
        ("POST", "/somewhere", wire.V6, 404),
        ("GET", "/invoke/Probe/waits", wire.V6, 405),
        ("POST", "/discover", wire.V6, 405),
        ("POST", "/invoke/Probe/waits", "application/json", 415),
        ("POST", "/invoke/Probe/waits", wire.V6 + "; charset=utf-8", 415),
        ("GET", "/health", "", 200),
    ):
        with peer_of(server) as peer:
            peer.open(path, [("content-type", content_type)] if content_type else [], method)
            if method == "POST":
                peer.send(wire.fresh(), end=True)
            peer.finished()
            assert peer.status == status, (method, path, content_type)
            assert peer.headers["x-restate-server"].startswith("durably/")
            assert json.loads(peer.body)


@pytest.mark.parametrize("name", ["hypercorn", "gunicorn-sync"])
def test_unsigned_and_stale_requests_are_401(start_server: StartServer, name: str):
    """With identity keys only a fresh token for the very handler opens it; discovery is closed too, health is not."""
    signer = Signer(time.time())
    server = start_server(name, PROBE_KEYS=signer.key)
    invoke = "/invoke/Probe/steps"

    def ask(path: str, signature: list[tuple[str, str]], method: str = "POST") -> int | None:
        with peer_of(server) as peer:
            peer.open(path, [("content-type", wire.V6), *signature] if method == "POST" else signature, method)
            if method == "POST":
                peer.send(wire.fresh(b"0"), end=True)
            peer.finished()
            return peer.status

    assert ask(invoke, signer.headers(invoke)) == 200
    assert ask(invoke, []) == 401
    assert ask(invoke, signer.headers(invoke, at=time.time() - 121)) == 401
    assert ask(invoke, signer.headers("/invoke/Probe/waits")) == 401
    assert ask(invoke, Signer(time.time()).headers(invoke)) == 401
    assert ask("/discover", [], "GET") == 401
    assert ask("/discover", signer.headers("/discover"), "GET") == 200
    assert ask("/health", [], "GET") == 200


def test_a_refused_open_request_ends_within_a_second(start_server: StartServer):
    """A peer that leaves its side open gets the status at once; the stream is not kept for it."""
    server = start_server("hypercorn")
    with H2Peer(server.port) as peer:
        peer.open("/invoke/Probe/nothing")
        assert peer.until(lambda: peer.status == 404) < LIMIT_S
        assert peer.until(lambda: peer.has_ended) < LIMIT_S + 1


@pytest.mark.parametrize("name", ["hypercorn", "gunicorn-sync"])
@pytest.mark.parametrize("handler", ["Probe/place", "PlainProbe/place"])
def test_a_wrong_payload_is_a_terminal_400_that_names_the_field(start_server: StartServer, name: str, handler: str):
    """The caller learns which field; the value is not repeated, and nothing is retried."""
    server = start_server(name)
    with peer_of(server) as peer:
        peer.open(f"/invoke/{handler}")
        payload = {"customer": "ada", "items": [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": "canary"}]}
        peer.send(wire.fresh(json.dumps(payload).encode()), end=True)
        peer.finished()
        output, end = wire.read(bytes(peer.body))
        assert (output.kind, end.kind) == (T.OUTPUT, T.END)
        assert output.message.failure.code == 400
        assert "items" in output.message.failure.message
        assert "quantity" in output.message.failure.message
        assert "canary" not in output.message.failure.message


@pytest.mark.parametrize("name", ["hypercorn", "gunicorn-sync"])
@pytest.mark.parametrize("handler", ["Probe/fails", "PlainProbe/fails"])
def test_an_ordinary_exception_arrives_as_an_error(start_server: StartServer, name: str, handler: str):
    """The attempt fails with the exception's message, and the invocation stays to be retried."""
    server = start_server(name)
    with peer_of(server) as peer:
        peer.open(f"/invoke/{handler}")
        peer.send(wire.fresh(), end=True)
        peer.finished()
        (error,) = wire.read(bytes(peer.body))
        assert error.kind is T.ERROR
        assert error.message.code == 500
        assert "the shelf is empty" in error.message.message


def test_a_flood_of_bad_requests_does_not_fill_the_log(start_server: StartServer):
    """Hundreds of refused requests leave a few lines, each on one line, without a traceback."""
    server = start_server("hypercorn")
    lines = server.errors.count("\n")
    with H2Peer(server.port) as peer:
        for _ in range(300):
            peer.open("/invoke/No\x1b[2J/such".replace("\x1b", "%1b"))
            peer.send(b"", end=True)
            peer.finished()
        written = server.errors.count("\n") - lines
        print(f"300 refused requests wrote {written} lines")
        assert written <= 100
        assert "\x1b" not in server.errors
