"""Power cuts: what a disk may hold after one, at any write, is a state that loses nothing acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreError
from tests.engine.store.recorded_disk import Image, recorded
from tests.engine.store.workload import check, run

SEEDS = (1, 2, 3)
IMAGES = 120
TRANSACTIONS = 14


def images_of(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch, *, lies: bool = False) -> list[tuple[str, int]]:
    """Run the workload and cut the power at random writes, cuts and syncs.

    Returns:
        Files, and how many transactions had been acknowledged when the power was cut.
    """
    random = Random(seed)
    kinds: list[Callable[[Image], bytearray]] = [
        Image.current,
        lambda image: image.durable,
        lambda image: image.torn(random),
    ]
    acknowledged = 0
    images: list[tuple[str, int]] = []

    def acknowledge(number: int) -> None:
        nonlocal acknowledged
        acknowledged = number

    def cut(kind: str) -> None:
        if len(images) < IMAGES and (kind == "sync" or random.random() < 0.4):
            path = disk.save(folder / f"image-{len(images)}", random.choice(kinds))
            images.append((str(path), acknowledged))

    with recorded(monkeypatch) as disk:
        store = SqliteStore(str(folder / "engine.db"))
        disk.lies = lies
        disk.on_operation = cut
        for first in range(1, TRANSACTIONS, 2):
            run(store, 2, seed, acknowledge, first)
            if random.random() < 0.6:
                store.checkpoint(truncate=random.random() < 0.5)
        disk.on_operation = None
        store.close()
    return images


@pytest.mark.parametrize("seed", SEEDS)
def test_every_image_holds_what_was_acknowledged(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files as they were written, only what was synced, and torn at random sectors: all of them open and are whole."""
    images = images_of(seed, tmp_path, monkeypatch)
    assert len(images) == IMAGES
    ahead = [check(path, acknowledged, seed) - acknowledged for path, acknowledged in images]
    assert set(ahead) == {0, 1}  # 1: committed when the power was cut, and nobody had been told


def test_a_disk_that_lies_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where a sync only pretends, images do lose what was acknowledged: the test above would notice."""
    images = images_of(1, tmp_path, monkeypatch, lies=True)
    losses = 0
    for path, acknowledged in images:
        try:
            check(path, acknowledged, 1)
        except (AssertionError, StoreError):
            losses += 1
    assert losses > IMAGES // 10
