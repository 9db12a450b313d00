"""What an engine's process and files take, watched from outside.

Owns the reading of `/proc` and of file sizes, and what may grow how far.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from durably.testing.oracles import Finding

__all__ = ["MIB", "Usage", "UsageWatch", "check_idle"]

MIB: Final = 1024 * 1024
_WAL_BOUND_BYTES: Final = 96 * MIB  # it is emptied when it has 64 MiB and nobody reads
_RSS_BOUND_BYTES: Final = 512 * MIB
_SAMPLE_SECONDS: Final = 0.25
_IDLE_SECONDS: Final = 3.0
_IDLE_SHARE: Final = 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was taken at one moment.

    Attributes:
        rss: Memory of the process.
        descriptors: Its open file descriptors.
        threads: Its threads.
        file: Bytes of the engine's file.
        wal: Bytes of the log beside it.
    """

    rss: int
    descriptors: int
    threads: int
    file: int
    wal: int

    @classmethod
    def of(cls, pid: int, file: Path) -> Self:
        """Look.

        Raises:
            OSError: The process died.
        """
        process = Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        if "VmRSS" not in status:
            raise ProcessLookupError(pid)  # a zombie
        wal = file.with_name(file.name + "-wal")
        return cls(
            int(status["VmRSS"].split()[0]) * 1024,
            len(os.listdir(process / "fd")),
            int(status["Threads"]),
            file.stat().st_size,
            wal.stat().st_size if wal.exists() else 0,
        )

    def check(self, later: Usage, *, rss_slack: int = 16 * MIB) -> list[Finding]:
        """Check that `later`, after more of the same load, takes no more: O11."""
        return [
            Finding("O11", name, f"{before} before, {after} after")
            for name, before, after, most in (
                ("memory", self.rss, later.rss, self.rss * 1.25 + rss_slack),
                ("descriptors", self.descriptors, later.descriptors, self.descriptors * 1.1 + 8),
                ("threads", self.threads, later.threads, self.threads * 1.1 + 4),
            )
            if after > most
        ]


class UsageWatch:
    """Looks again and again while an engine runs, dies and comes back.

    Args:
        pid: Gives the engine's process, or None while there is none.
        file: The engine's.
    """

    def __init__(self, pid: Callable[[], int | None], file: Path) -> None:
        """Look at nothing yet."""
        self._pid = pid
        self._file = file
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage")
        self.rss: int = 0
        self.wal: int = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    def check(self) -> list[Finding]:
        """Check the largest that were seen: O10 and O11."""
        return [
            Finding(oracle, name, f"it had {most} bytes")
            for oracle, name, most, bound in (
                ("O10", "the log", self.wal, _WAL_BOUND_BYTES),
                ("O11", "memory", self.rss, _RSS_BOUND_BYTES),
            )
            if most > bound
        ]

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            pid = self._pid()
            if pid is None:
                continue
            try:
                usage = Usage.of(pid, self._file)
            except OSError:  # it died just now, or has not made its file yet
                continue
            self.rss, self.wal = max(self.rss, usage.rss), max(self.wal, usage.wal)


def check_idle(pid: int) -> list[Finding]:
    """Check that a process that has nothing to do takes no time of the processor: O11."""
    before = _cpu_seconds(pid)
    time.sleep(_IDLE_SECONDS)
    share = (_cpu_seconds(pid) - before) / _IDLE_SECONDS
    return [Finding("O11", "processor", f"{share:.1%} while idle")] if share > _IDLE_SHARE else []


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
