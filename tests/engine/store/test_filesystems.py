"""Which file systems are refused, and which get a warning."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from durably.engine.store.filesystems import (
    NETWORK_FILE_SYSTEMS,
    UNUSUAL_FILE_SYSTEMS,
    check_file_system,
    magic_of,
)
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreLocationError


@pytest.mark.parametrize("magic", NETWORK_FILE_SYSTEMS)
def test_a_network_is_refused(magic: int, tmp_path: Path):
    """A store on a network file system is refused before its file exists, and the error names the system."""
    with pytest.raises(StoreLocationError) as caught:
        SqliteStore(str(tmp_path / "engine.db"), magic=lambda _: magic)
    assert NETWORK_FILE_SYSTEMS[magic] in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("magic", UNUSUAL_FILE_SYSTEMS)
def test_an_unusual_one_gets_a_warning(magic: int, caplog: pytest.LogCaptureFixture):
    """A layered or virtual file system is used, and the log says what that means."""
    with caplog.at_level(logging.WARNING, "durably.engine.store"):
        check_file_system("here", lambda _: magic)
    assert UNUSUAL_FILE_SYSTEMS[magic] in caplog.text


@pytest.mark.parametrize("magic", [0xEF53, None])
def test_a_local_disk_is_quiet(magic: int | None, caplog: pytest.LogCaptureFixture):
    """A local file system, and one that the system does not tell, say nothing."""
    check_file_system("here", lambda _: magic)
    assert caplog.text == ""


def test_the_kernel_is_asked(tmp_path: Path):
    """The number comes from the kernel: /proc has the one of procfs, a missing path has none."""
    if sys.platform == "linux":
        assert magic_of("/proc") == 0x9FA0
        assert magic_of(str(tmp_path)) not in {None, 0}
    assert magic_of(str(tmp_path / "missing")) is None
