"""What a runtime that goes away leaves behind in a real server: nothing."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.conftest import StartServer
from tests.acceptance.peers import H1Peer, H2Peer, Peer
from tests.acceptance.servers import Server
from tests.hosting import wire

PEERS = 12
HANDLERS = ["Probe/waits", "Probe/acts", "PlainProbe/waits", "PlainProbe/acts"]
COUNTED = ("tasks", "fds", "open_attempts")


def peer_of(server: Server) -> Peer:
    """Connect with the best protocol that the server speaks."""
    return H2Peer(server.port) if server.name in ("hypercorn", "granian") else H1Peer(server.port)


def go_away(peer: Peer, how: str) -> None:
    """Leave in one of the ways in which connections end."""
    match how:
        case "reset" if isinstance(peer, H2Peer):
            peer.reset()
        case "abort":
            peer.abort()
        case _:
            peer.close()


@pytest.mark.parametrize("how", ["reset", "close", "abort"])
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("name", ["hypercorn", "granian", "uvicorn", "gunicorn-asgi"])
def test_nothing_is_left_after_a_disconnect(start_server: StartServer, name: str, handler: str, how: str):
    """HTTP/2 reset, orderly close and TCP reset, while a handler waits, acts or blocks: tasks and files are let go."""
    server = start_server(name)
    baseline = server.facts()
    peers: list[Peer] = []
    for _ in range(PEERS):
        peer = peer_of(server)
        peers.append(peer)
        peer.open(f"/invoke/{handler}")
        peer.send(wire.fresh())
    server.wait_for_attempts(PEERS)
    for peer in peers:
        go_away(peer, how)
    started_s = time.monotonic()
    if how == "reset" and isinstance(peers[0], H2Peer):
        facts = server.settled_facts(baseline, "open_attempts")
        for peer in peers:
            peer.close()
    facts = server.settled_facts(baseline, *COUNTED)
    print(f"{name} {handler} {how}: settled after {(time.monotonic() - started_s) * 1000:.0f} ms")
    assert {count: facts[count] for count in COUNTED if facts[count] > baseline[count]} == {}
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("name", ["hypercorn", "granian", "uvicorn", "gunicorn-asgi"])
def test_no_processor_time_is_used_after_disconnects(start_server: StartServer, name: str):
    """After many disconnects an idle server is idle, and serves on."""
    server = start_server(name)
    for handler in HANDLERS:
        for _ in range(PEERS):
            with peer_of(server) as peer:
                peer.open(f"/invoke/{handler}")
                peer.send(wire.fresh())
                server.wait_for_attempts(1)
            server.wait_for_attempts(0)
    time.sleep(0.6)  # the plain handlers' steps, which nothing can interrupt, end by themselves
    before_s, started_s = server.facts()["cpu_s"], time.monotonic()
    time.sleep(1.0)  # the measurement itself
    share = (server.facts()["cpu_s"] - before_s) / (time.monotonic() - started_s)
    print(f"{name}: {share:.1%} of a processor after {PEERS * len(HANDLERS)} disconnects")
    assert share < 0.02
    with peer_of(server) as peer:
        peer.open("/invoke/PlainProbe/steps")
        peer.send(wire.fresh(b"0"), end=True)
        peer.finished()
        assert peer.status == 200
        assert peer.has_ended


def test_other_streams_of_the_connection_live_on(start_server: StartServer):
    """One stream of an HTTP/2 connection is reset; another one on it is served as if nothing happened."""
    server = start_server("hypercorn")
    with H2Peer(server.port) as peer:
        for _ in range(20):
            peer.open("/invoke/Probe/waits")
            peer.send(wire.fresh())
            peer.reset()
            peer.open("/invoke/Probe/steps")
            peer.send(wire.fresh(b"0"), end=True)
            peer.finished()
            assert (peer.status, peer.has_ended, peer.was_cut) == (200, True, False)
    assert "Traceback" not in server.errors
