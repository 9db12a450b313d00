"""When a connection is asked, lost or idle."""

from __future__ import annotations

from durably.engine.transport.keepalive import Keepalive, Verdict
from durably.engine.transport.options import HttpOptions

OPTIONS = HttpOptions(ping_interval_s=40, ping_timeout_s=20, idle_timeout_s=300)


def test_a_silent_peer_is_asked_once_then_lost():
    """With streams: silence is asked about after 40 s, and lost 20 s after the question."""
    keepalive = Keepalive(OPTIONS, 0)
    looks = [(39.9, Verdict.FINE), (40, Verdict.ASK), (50, Verdict.FINE), (60, Verdict.LOST)]
    assert [(now, keepalive.look(now, has_streams=True)) for now, _ in looks] == looks


def test_a_sign_begins_the_silence_afresh():
    """Any bytes answer the question."""
    keepalive = Keepalive(OPTIONS, 0)
    assert keepalive.look(40, has_streams=True) is Verdict.ASK
    keepalive.received(45)
    looks = [(84, Verdict.FINE), (85, Verdict.ASK), (104, Verdict.FINE)]
    assert [(now, keepalive.look(now, has_streams=True)) for now, _ in looks] == looks


def test_a_process_that_slept_asks_before_it_gives_up():
    """After a long pause of this process nothing is lost unasked."""
    assert Keepalive(OPTIONS, 0).look(10_000, has_streams=True) is Verdict.ASK


def test_a_connection_nobody_uses_is_idle():
    """Without streams nothing is asked; it goes 300 s after its last stream."""
    keepalive = Keepalive(OPTIONS, 0)
    keepalive.used(100)
    looks = [(150, Verdict.FINE), (399, Verdict.FINE), (400, Verdict.IDLE)]
    assert [(now, keepalive.look(now, has_streams=False)) for now, _ in looks] == looks
    assert keepalive.period_s == 5
