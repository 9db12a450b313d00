"""Random programs under fire on the engine: what is counted in the end is exactly what was asked for.

The short form of `python -m tools.soak`. `DURABLY_CONFORMANCE_SEED` and `DURABLY_CONFORMANCE_PROGRAMS` choose other
programs, or many more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.suite.columns import Column
from tools.soak import COLUMNS, PROGRAMS_A_SECOND, play_round

SEED = int(os.environ.get("DURABLY_CONFORMANCE_SEED", "20261123"))
PROGRAMS = int(os.environ.get("DURABLY_CONFORMANCE_PROGRAMS", "240"))


@pytest.mark.parametrize("column", COLUMNS, ids=str)
@pytest.mark.timeout(PROGRAMS / PROGRAMS_A_SECOND * 5 + 120)
def test_every_increment_counts_once(
    column: Column, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Objects count every increment once while the engine and the service die again and again."""
    report = play_round(column, tmp_path, seed=SEED, programs=PROGRAMS)
    record_property("soak", str(report))
    assert report.server_kills >= 1, report
