"""Long journals and large values on real servers."""

from __future__ import annotations

import time

import pytest

from durably.protocol.messages import MessageType
from tests.acceptance.conftest import StartServer
from tests.acceptance.peers import H1Peer, H2Peer, Peer
from tests.acceptance.servers import Server
from tests.hosting import wire

T = MessageType
MIB = 1024 * 1024
SERVERS = ["hypercorn", "granian", "uvicorn", "gunicorn-sync"]


def peer_of(server: Server) -> Peer:
    """Connect with the best protocol that the server speaks."""
    return H2Peer(server.port) if server.name in ("hypercorn", "granian") else H1Peer(server.port)


def recorded_steps(count: int) -> bytes:
    """Encode the journal of an invocation that took `count` steps, 2 × count + 1 entries."""
    journal = [wire.start(2 * count + 1), wire.given(b"%d" % count)]
    for index in range(count):
        journal += [wire.run_command(index + 1, f"step-{index}"), wire.run_completion(index + 1, b"%d" % index)]
    return b"".join(journal)


@pytest.mark.parametrize("handler", ["Probe/steps", "PlainProbe/steps"])
@pytest.mark.parametrize("name", SERVERS)
def test_a_journal_of_10000_entries_replays(start_server: StartServer, name: str, handler: str):
    """An invocation with 5,000 recorded steps, 10,001 entries, goes on to its result within seconds."""
    server = start_server(name)
    journal = recorded_steps(5_000)
    with peer_of(server) as peer:
        started_s = time.monotonic()
        peer.open(f"/invoke/{handler}")
        peer.send(journal, end=True)
        output, end = wire.read(peer.finished(30))
    elapsed_s = time.monotonic() - started_s
    print(f"{name} {handler}: 10,001 entries, {len(journal) / MIB:.1f} MiB, replayed in {elapsed_s * 1000:.0f} ms")
    assert (output.kind, end.kind) == (T.OUTPUT, T.END)
    assert int(output.message.value.content) == sum(range(5_000))
    assert elapsed_s < 5


@pytest.mark.parametrize("name", [*SERVERS, "gunicorn-gthread", "waitress"])
def test_a_value_of_16_mib_goes_in_and_out(start_server: StartServer, name: str):
    """The payload comes back unchanged, in one message, well below the limit of 32 MiB."""
    server = start_server(name)
    value = bytes(range(256)) * (16 * MIB // 256)
    with peer_of(server) as peer:
        started_s = time.monotonic()
        peer.open("/invoke/Probe/echo")
        peer.send(wire.fresh(value), end=True)
        output, end = wire.read(peer.finished(30))
    elapsed_s = time.monotonic() - started_s
    print(f"{name}: 16 MiB there and back in {elapsed_s * 1000:.0f} ms")
    assert end.kind is T.END
    assert output.message.value.content == value
    assert elapsed_s < 15
