"""Two minutes of random programs under fire on the engine: what is counted in the end is what was asked for.

The short form of `python -m tools.soak`. `DURABLY_CONFORMANCE_SEED` and `DURABLY_SOAK_MINUTES` choose other programs,
or more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import soak

SEED = int(os.environ.get("DURABLY_CONFORMANCE_SEED", "20261123"))
MINUTES = float(os.environ.get("DURABLY_SOAK_MINUTES", "2"))


@pytest.mark.timeout(MINUTES * 60 * 5 + 300)
def test_every_increment_counts_once(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The oracles find nothing, and nothing grows, while engine and services die again and again."""
    told: list[str] = []
    soak.play(MINUTES, SEED, tmp_path, told.append)
    record_property("soak", "\n".join(told))
    assert len(told) > len(soak.ROUNDS)
