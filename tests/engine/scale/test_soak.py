"""The command `python -m tools.soak`: its rounds, its verdict, and what it keeps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suite.soak import SoakReport
from tools import soak


def test_rounds_depend_on_the_seed_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The same seed plays the same programs; the figures are printed, and no folder is left."""
    played: list[tuple[str, int, int]] = []
    folders: list[Path] = []

    def play(column: Any, directory: Path, *, seed: int, programs: int, kill_seconds: Any) -> SoakReport:
        directory.mkdir()
        folders.append(directory)
        played.append((str(column), seed, programs))
        return SoakReport(programs, 10, 1, 2, 0.0)

    monkeypatch.setattr(soak, "play_round", play)
    assert soak.main(["--minutes", "0.01", "--seed", "7"]) == 0
    assert soak.main(["--minutes", "0.01", "--seed", "7"]) == 0
    assert soak.main(["--minutes", "0.01", "--seed", "8"]) == 0
    assert played[0] == played[1] != played[2]
    assert "seed 7: difference 0 in 1 rounds: 280 programs, 10 increments, 1 + 2 kills" in capsys.readouterr().out
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
