"""Random programs under fire: what is counted in the end is exactly what was asked for, nothing lost or repeated."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.suite.clients import Deadline
from tests.conformance.suite.columns import Column, Handlers, Host, Setting, peer_is_reference
from tests.conformance.suite.programs import generate, predict
from tests.conformance.suite.soak import Soak
from tests.conformance.suite.stages import Pair

SEED = int(os.environ.get("DURABLY_CONFORMANCE_SEED", "20261123"))
PROGRAMS = int(os.environ.get("DURABLY_CONFORMANCE_PROGRAMS", "240"))
PROGRAMS_A_SECOND = 28
# With the default retries the work stands still for longer than the service needs to start again.
QUICK_RETRIES = {
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "1000",
}
# Streaming and request-response, coroutines and threads, two protocol versions: each once.
COLUMNS = [
    Column(Host.HYPERCORN, Handlers.ASYNC, Setting.V7),
    Column(Host.GRANIAN, Handlers.SYNC, Setting.DEFAULT),
    Column(Host.GUNICORN, Handlers.SYNC, Setting.V7),
]


@pytest.mark.parametrize("column", COLUMNS[:1] if peer_is_reference() else COLUMNS, ids=str)
@pytest.mark.timeout(PROGRAMS / PROGRAMS_A_SECOND * 5 + 120)
@pytest.mark.usefixtures("restate_binary")
def test_every_increment_counts_once(
    column: Column, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Objects count every increment once while the service dies every 3 s and the server every 8 s."""
    pair = Pair(column, tmp_path, settings=QUICK_RETRIES)
    try:
        pair.start()
        soak = Soak(
            pair,
            seed=SEED,
            programs=PROGRAMS,
            keys=20,
            submit_seconds=PROGRAMS / PROGRAMS_A_SECOND,
            service_kill_seconds=3.0,
            server_kill_seconds=8.0,
            patience_seconds=30.0,
        )
        report = soak.run(Deadline(PROGRAMS / PROGRAMS_A_SECOND * 4 + 90))
    except BaseException as error:
        error.add_note(f"seed {SEED}\n{pair.logs()}")
        raise
    finally:
        pair.stop()
    record_property("soak", str(report))
    assert report.service_kills >= 1, report  # on a busy machine each start takes a while
    assert report.server_kills >= 1, report


def test_programs_repeat_with_their_seed() -> None:
    """A failing seed gives the same programs again, and the prediction counts increments of nested programs."""
    keys = ["a", "b"]
    programs = [generate(random.Random(1), keys) for _ in range(2)]
    assert programs[0] == programs[1]
    nested = {"commands": [{"kind": 4}, {"kind": 19, "key": "b", "program": {"commands": [{"kind": 18}, {"kind": 9}]}}]}
    assert predict(nested, 0, "a") == {("ObjectInterpreterL0", "a"): 1, ("ObjectInterpreterL1", "b"): 2}
