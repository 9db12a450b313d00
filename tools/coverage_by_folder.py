"""A pytest plugin that holds each folder of `core/durably`, and each adapter, to its own coverage.

Owns the rule: the percentages stand in `[tool.durably.coverage]` of `pyproject.toml`, count lines and branches
together, and a folder below its own fails the run. One number for the whole package would let a well-tested folder
hide an untested one. Load it with `-p tools.coverage_by_folder` next to `--cov`.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (ROOT / "core" / "durably", ROOT / "integrations")


@dataclass(frozen=True, slots=True)
class FolderCoverage:
    """What was covered in one folder.

    Attributes:
        folder: Name below `core/durably`, or of an adapter; `.` for the modules directly in `core/durably`.
        covered: Lines and branches that ran.
        total: Lines and branches that there are.
        required: The least percentage, or None where none is set.
        worst: The modules with the most that did not run, most first, as `name (count)`.
    """

    folder: str
    covered: int
    total: int
    required: float | None
    worst: tuple[str, ...]

    @property
    def percent(self) -> float:
        """Covered in percent; an empty folder is covered."""
        return 100.0 * self.covered / self.total if self.total else 100.0

    @property
    def is_enough(self) -> bool:
        """Whether the folder holds its threshold."""
        return self.required is None or self.percent >= self.required


def thresholds() -> dict[str, float]:
    """Read the percentages from `pyproject.toml`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {folder: float(percent) for folder, percent in settings["tool"]["durably"]["coverage"].items()}


def measure(data: coverage.Coverage, required: dict[str, float]) -> list[FolderCoverage]:
    """Add up the recorded coverage by folder, in alphabetical order."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    missing: dict[str, dict[str, int]] = defaultdict(dict)
    modules = [(root, path) for root in PACKAGES for path in sorted(root.rglob("*.py"))]
    for root, path in modules:
        parts = path.relative_to(root).parts
        folder = parts[0] if len(parts) > 1 else "."
        numbers = data._analyze(str(path)).numbers  # pyright: ignore[reportPrivateUsage] # no public call counts branches
        covered = numbers.n_executed + numbers.n_executed_branches
        total = numbers.n_statements + numbers.n_branches
        counts[folder][0] += covered
        counts[folder][1] += total
        if covered < total:
            missing[folder]["/".join(parts)] = total - covered
    return [
        FolderCoverage(
            folder,
            *counts[folder],
            required=required.get(folder),
            worst=tuple(
                f"{name} ({count})"
                for name, count in sorted(missing[folder].items(), key=lambda item: item[1], reverse=True)[:4]
            ),
        )
        for folder in sorted(counts.keys() | required.keys())
    ]


class _Enforcer:
    """Looks at the result after pytest-cov has stopped measuring."""

    def __init__(self) -> None:
        self.folders: list[FolderCoverage] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        data = coverage.Coverage(data_file=str(ROOT / ".coverage"), config_file=str(ROOT / "pyproject.toml"))
        data.load()
        self.folders = measure(data, thresholds())
        session.testsfailed += sum(not folder.is_enough for folder in self.folders)
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("coverage by folder: lines and branches")
        for folder in self.folders:
            required = "" if folder.required is None else f"  required {folder.required:g}%"
            terminalreporter.write_line(
                f"{folder.folder:<17}{folder.percent:6.1f}% of {folder.total}{required}",
                red=not folder.is_enough,
            )
            if not folder.is_enough:
                terminalreporter.write_line(f"  below its threshold; most is missing in {', '.join(folder.worst)}")


def pytest_configure(config: pytest.Config) -> None:
    """Join in where coverage is measured; a worker process leaves it to the one that collects."""
    if config.getoption("--cov", default=None):
        config.pluginmanager.register(_Enforcer(), "coverage-by-folder")
