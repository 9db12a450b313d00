"""Retention: what is kept, for how long, and how it goes."""

from __future__ import annotations

from datetime import timedelta

from durably.engine.actions import ArmSweep
from durably.engine.core.timers import SWEEP_BATCH, SWEEP_INTERVAL_MS
from durably.engine.events import GetOutput, InvocationSelector, Sweep
from durably.protocol.manifest import HandlerManifest, ServiceManifest, ServiceType
from tests.engine.core.box import Box


def box_with(**options: timedelta) -> Box:
    """A box whose service has these retentions."""
    handler = HandlerManifest(name="greet")
    return Box((ServiceManifest(name="Greeter", type=ServiceType.SERVICE, handlers=(handler,), **options),))


def test_sweep_deletes_what_is_over():
    """A record goes when its retention is over and not before; it is not found any more from that moment on."""
    box = box_with(journal_retention=timedelta(seconds=10))
    invocation_id = box.started()
    box.output(invocation_id)
    box.now += 9_999
    assert ArmSweep(box.now + SWEEP_INTERVAL_MS) in box.do(Sweep())
    assert box.find(invocation_id) is not None
    box.now += 1
    token = box.token()
    box.do(GetOutput(InvocationSelector(invocation_id), token))
    assert box.replies[token].code == 404
    box.do(Sweep())
    assert box.find(invocation_id) is None
    assert box.read(lambda reader: reader.next_expiry()) is None


def test_journal_goes_before_the_record():
    """An idempotent request's journal is kept for the journal retention, its result for its own."""
    box = box_with(journal_retention=timedelta(seconds=1), idempotency_retention=timedelta(seconds=10))
    invocation_id = box.replies[box.invoke(idempotency_key="k", send=True)].invocation_id
    box.output(invocation_id)
    box.now += 1000
    box.do(Sweep())
    assert box.journal(invocation_id) == []
    assert box.read(lambda reader: reader.result(invocation_id)) == b"done"
    box.now += 9000
    box.do(Sweep())
    assert box.find(invocation_id) is None


def test_journal_retention_of_zero():
    """Without journal retention an idempotent result is kept all the same, but no journal."""
    box = box_with(journal_retention=timedelta(0))
    invocation_id = box.replies[box.invoke(idempotency_key="k", send=True)].invocation_id
    box.output(invocation_id)
    assert box.journal(invocation_id) == []
    assert box.read(lambda reader: reader.result(invocation_id)) == b"done"


def test_sweeps_are_small():
    """Much that is over is deleted in several sweeps, each of which asks for the next at once."""
    box = box_with(journal_retention=timedelta(seconds=1))
    for _ in range(SWEEP_BATCH + 5):
        box.output(box.started())
    box.now += 1000
    assert ArmSweep(box.now) in box.do(Sweep())
    assert ArmSweep(box.now + SWEEP_INTERVAL_MS) in box.do(Sweep())
    assert box.read(lambda reader: reader.next_expiry()) is None
