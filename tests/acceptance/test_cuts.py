"""TCP connections to real servers cut at byte offsets, in both directions: handshake, headers, frames and all.

Every offset takes a minute or two, so the offsets in between are left to the tests in process. `CUT_STEP=1` cuts at
every one.
"""

from __future__ import annotations

import os
import statistics
import time

import pytest

from tests.acceptance.conftest import StartServer
from tests.acceptance.peers import H1Peer, H2Peer, Peer
from tests.acceptance.servers import Server
from tests.hosting.runtime import StepRuntime

STEP = int(os.environ.get("CUT_STEP", "9"))
STEPS = 3
EXPECTED = b"3"  # 0 + 1 + 2


def peer_of(server: Server, *, sent: int | None = None, received: int | None = None, hard: bool = False) -> Peer:
    """Connect with the best protocol that the server speaks; cut after that many bytes."""
    kind = H2Peer if server.name in ("hypercorn", "granian") else H1Peer
    return kind(server.port, sent_limit=sent, received_limit=received, cuts_hard=hard)


def run_attempt(peer: Peer, path: str, runtime: StepRuntime) -> None:
    """Play one attempt up to its end or the peer's cut."""
    to_send = runtime.open_attempt()
    if not peer.was_cut:
        peer.open(path)
    seen = 0
    while not peer.was_cut:
        peer.send(to_send, end=runtime.is_over)
        if runtime.is_over:
            peer.finished()
            return
        peer.until(lambda seen=seen: len(peer.body) > seen or peer.was_cut)
        to_send = runtime.receive(bytes(peer.body[seen:]))
        seen = len(peer.body)


def finish(server: Server, path: str, runtime: StepRuntime) -> None:
    """Call again, undisturbed, until there is a result."""
    for _ in range(STEPS + 2):
        if runtime.result is not None:
            return
        with peer_of(server) as peer:
            run_attempt(peer, path, runtime)


@pytest.mark.parametrize("handler", ["Probe/steps", "PlainProbe/steps"])
@pytest.mark.parametrize("name", ["hypercorn", "granian", "uvicorn"])
def test_a_cut_at_any_byte_is_repaired_by_the_retry(start_server: StartServer, name: str, handler: str):
    """Whatever was cut, the next attempt gives the right result; the server writes no traceback and keeps nothing."""
    server, path = start_server(name), f"/invoke/{handler}"
    whole = StepRuntime(b"%d" % STEPS)
    with peer_of(server) as peer:
        run_attempt(peer, path, whole)
        extent = (peer.sent, peer.received)
    assert whole.result == EXPECTED
    baseline = server.facts()
    recoveries_s: list[float] = []
    for offset in range(1, max(extent), STEP):
        cuts = [{"sent": offset}] if offset < extent[0] else []
        cuts += [{"received": offset}] if offset < extent[1] else []
        for cut in cuts:
            runtime = StepRuntime(b"%d" % STEPS)
            with peer_of(server, hard=offset % 2 == 0, **cut) as peer:
                run_attempt(peer, path, runtime)
            started_s = time.monotonic()
            finish(server, path, runtime)
            recoveries_s.append(time.monotonic() - started_s)
            assert runtime.result == EXPECTED, f"CUT_STEP=1, {cut}"
    facts = server.settled_facts(baseline, "tasks", "fds", "open_attempts")
    slow_ms = statistics.quantiles(recoveries_s, n=100)[98] * 1000
    print(f"{name} {handler}: {len(recoveries_s)} cuts, 0 wrong, recovery p99 {slow_ms:.0f} ms")
    assert [facts[name] <= baseline[name] for name in ("tasks", "fds", "open_attempts")] == [True] * 3
    assert "Traceback" not in server.errors
