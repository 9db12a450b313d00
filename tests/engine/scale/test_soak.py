"""The command `python -m tools.soak`: its rounds, its verdict, and what it keeps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suite.soak import SoakReport
from tools import soak

ROUNDS = len(soak.ROUNDS)


def test_rounds_depend_on_the_seed_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The same seed plays the same programs; the figures are printed, and no folder is left."""
    played: list[tuple[str, int, int]] = []
    folders: list[Path] = []

    def play(column: Any, directory: Path, *, seed: int, programs: int, kill_seconds: Any) -> SoakReport:
        directory.mkdir()
        folders.append(directory)
        played.append((str(column), seed, programs))
        return SoakReport(programs, 10, 1, 2, 0.0)

    def play_calm(directory: Path, *, seed: int, programs: int) -> SoakReport:
        return play("calm", directory, seed=seed, programs=programs, kill_seconds=None)

    monkeypatch.setattr(soak, "play_round", play)
    monkeypatch.setattr(soak, "play_calm_round", play_calm)
    assert soak.main(["--minutes", "0.01", "--seed", "7"]) == 0
    assert soak.main(["--minutes", "0.01", "--seed", "7"]) == 0
    assert soak.main(["--minutes", "0.01", "--seed", "8"]) == 0
    assert played[:ROUNDS] == played[ROUNDS : 2 * ROUNDS] != played[2 * ROUNDS :]
    assert len({kind for kind, _, _ in played}) == ROUNDS
    told = capsys.readouterr().out
    assert f"seed 7: difference 0 in {ROUNDS} rounds: {280 * ROUNDS} programs, {10 * ROUNDS} increments, " in told
    assert f"{ROUNDS} + {2 * ROUNDS} kills of service + engine" in told
    assert not any(folder.parent.exists() for folder in folders)


def test_a_failed_round_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A difference ends the run with status 1; the seed is printed, and the round's folder stays for whoever looks."""
    folders: list[Path] = []

    def play(column: Any, directory: Path, **_: Any) -> SoakReport:
        directory.mkdir()
        folders.append(directory)
        raise AssertionError("increments were lost")

    monkeypatch.setattr(soak, "play_round", play)
    try:
        assert soak.main(["--seed", "7"]) == 1
        told = capsys.readouterr().out
        assert "seed 7 failed: AssertionError('increments were lost')" in told
        assert str(folders[0].parent) in told
        assert folders[0].is_dir()
    finally:
        shutil.rmtree(folders[0].parent)
