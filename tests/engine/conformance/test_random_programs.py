"""Random programs under fire on the engine: what is counted in the end is exactly what was asked for.

`DURABLY_CONFORMANCE_SEED` and `DURABLY_CONFORMANCE_PROGRAMS` choose other programs, or many more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from durably.testing.oracles import check_file, check_image, check_quiescent, require
from durably.testing.store_images import StoreImage
from tests.conformance.suite.clients import Deadline
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess
from tests.conformance.suite.soak import Soak
from tests.conformance.suite.stages import Pair

SEED = int(os.environ.get("DURABLY_CONFORMANCE_SEED", "20261123"))
PROGRAMS = int(os.environ.get("DURABLY_CONFORMANCE_PROGRAMS", "240"))
PROGRAMS_A_SECOND = 28
NEVER_SECONDS = 1e6
# With the default retries the work stands still for longer than the service needs to start again.
QUICK_RETRIES = {
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "1000",
}
# How often the service and the engine are killed; in one process they die together.
COLUMNS = {
    Column(Host.IN_PROCESS, Handlers.ASYNC, Setting.V7_SUSPENDING, server=Server.ENGINE): (NEVER_SECONDS, 3.0),
    Column(Host.IN_PROCESS, Handlers.SYNC, Setting.DEFAULT, server=Server.ENGINE): (NEVER_SECONDS, 3.0),
    Column(Host.HYPERCORN, Handlers.ASYNC, Setting.V7, server=Server.ENGINE): (3.0, 4.0),
    Column(Host.GUNICORN, Handlers.SYNC, Setting.DEFAULT, server=Server.ENGINE): (3.0, 4.0),
}


@pytest.mark.parametrize("column", COLUMNS, ids=str)
@pytest.mark.timeout(PROGRAMS / PROGRAMS_A_SECOND * 5 + 120)
def test_every_increment_counts_once(
    column: Column, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Objects count every increment once while the engine and the service die again and again."""
    service_kill_seconds, engine_kill_seconds = COLUMNS[column]
    pair = Pair(column, tmp_path, settings=QUICK_RETRIES)
    assert isinstance(pair.server, EngineProcess)
    try:
        pair.start()
        soak = Soak(
            pair,
            seed=SEED,
            programs=PROGRAMS,
            keys=20,
            submit_seconds=PROGRAMS / PROGRAMS_A_SECOND,
            service_kill_seconds=service_kill_seconds,
            server_kill_seconds=engine_kill_seconds,
            patience_seconds=30.0,
        )
        report = soak.run(Deadline(PROGRAMS / PROGRAMS_A_SECOND * 4 + 90))
        image = StoreImage.read(pair.server.file)
        require(*check_image(image), *check_quiescent(image), *check_file(pair.server.file))
    except BaseException as error:
        error.add_note(f"seed {SEED}\n{pair.logs()}")
        raise
    finally:
        pair.stop()
    record_property("soak", str(report))
    assert report.server_kills >= 1, report
