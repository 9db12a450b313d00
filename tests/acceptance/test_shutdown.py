"""SIGTERM stops real servers in bounded time, with and without open streams; their signal handlers stay their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.peers import H1Peer, H2Peer, Peer
from tests.acceptance.servers import BOUND_S, Server
from tests.hosting import wire

STREAMS = 12
ASGI_SERVERS = ["uvicorn", "granian", "hypercorn", "gunicorn-asgi"]
WSGI_SERVERS = ["gunicorn-sync", "gunicorn-gthread"]
WAITING = ["/invoke/Probe/waits", "/invoke/Probe/acts", "/invoke/PlainProbe/waits", "/invoke/PlainProbe/acts"]
PATIENCE_S = 30.0  # how long the step of a plain handler blocks: longer than any bound


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, which the test may stop."""
    found = Server(request.param, tmp_path, PROBE_PATIENCE=str(PATIENCE_S))
    yield found
    found.kill()


def peer_of(server: Server) -> Peer:
    """Connect with the best protocol that the server speaks."""
    return H2Peer(server.port) if server.name in ("hypercorn", "granian") else H1Peer(server.port)


def serve_one(server: Server) -> None:
    """Run one invocation to its end."""
    with peer_of(server) as peer:
        peer.open("/invoke/Probe/steps")
        peer.send(wire.fresh(b"0"), end=True)
        peer.finished()
        assert peer.status == 200


@pytest.mark.parametrize("server", [*ASGI_SERVERS, *WSGI_SERVERS], indirect=True)
def test_serving_leaves_signal_handlers_alone(server: Server):
    """The first request, and those after it, change neither SIGTERM nor SIGINT; an idle server stops promptly."""
    before = server.facts()
    serve_one(server)
    serve_one(server)
    after = server.facts()
    assert (after["sigterm"], after["sigint"]) == (before["sigterm"], before["sigint"])
    elapsed_s = server.terminate(BOUND_S + 5)
    print(f"{server.name}: idle after two invocations, SIGTERM to exit {elapsed_s:.1f} s")
    assert elapsed_s < BOUND_S + 2


@pytest.mark.parametrize("server", ASGI_SERVERS, indirect=True)
def test_sigterm_stops_a_server_with_open_streams(server: Server):
    """Handlers that wait and steps that block, on the loop and in threads, do not keep a server from stopping."""
    with ExitStack() as open_streams:
        for index in range(STREAMS):
            peer = open_streams.enter_context(peer_of(server))
            peer.open(WAITING[index % len(WAITING)])
            peer.send(wire.fresh())
        server.wait_for_attempts(STREAMS)
        elapsed_s = server.terminate(BOUND_S + 7)
    print(f"{server.name}: {STREAMS} open streams, SIGTERM to exit {elapsed_s:.1f} s (told to wait {BOUND_S} s)")
    assert elapsed_s < BOUND_S + 3


@pytest.mark.parametrize("server", WSGI_SERVERS, indirect=True)
def test_sigterm_stops_a_wsgi_server_in_the_middle_of_a_step(server: Server):
    """A worker whose handler blocks is cut when the server's own bound is over; the runtime runs the attempt again."""
    with peer_of(server) as peer:
        peer.open("/invoke/PlainProbe/acts")
        peer.send(wire.fresh(), end=True)
        if server.name == "gunicorn-gthread":
            assert any("ThreadPool" in name for name in server.facts()["threads"])
        elapsed_s = server.terminate(BOUND_S + 7)
    print(f"{server.name}: a blocking step, SIGTERM to exit {elapsed_s:.1f} s (told to wait {BOUND_S} s)")
    assert elapsed_s < BOUND_S + 3
