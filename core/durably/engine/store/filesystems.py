"""Which file systems the engine's file may live on.

Owns the list, and asking the kernel. SQLite's WAL mode needs shared memory between the processes
that have the file open, and locks that hold, which a network file system does not give: it is
refused. Layered and virtual file systems often work, and sometimes lose a sync: they get a warning.

Source: sqlite.org/wal.html, "All processes using a database must be on the same host"; the numbers
are from statfs(2).
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

from durably.errors import StoreLocationError

__all__ = ["NETWORK_FILE_SYSTEMS", "UNUSUAL_FILE_SYSTEMS", "check_file_system", "magic_of"]

_logger = logging.getLogger("durably.engine.store")

NETWORK_FILE_SYSTEMS: Final = {
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x00C36400: "CephFS",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x0000564C: "NCP",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x786F4256: "VirtualBox shared folders",
    0xBACBACBC: "VMware shared folders",
}
"""Refused: magic number → name."""

UNUSUAL_FILE_SYSTEMS: Final = {
    0x794C7630: "overlayfs (a container's own layer: the file dies with the container)",
    0x01021997: "9p (a directory shared by a virtual machine's host)",
    0x65735546: "FUSE (virtiofs, sshfs, …)",
}
"""Allowed with a warning: magic number → name."""

_MAGIC_BITS: Final = 0xFFFFFFFF  # f_type is a signed long of 32 or 64 bits; the magic numbers have 32
_STATFS_BYTES: Final = 512  # struct statfs has 120 on 64-bit Linux; f_type is its first field


@cache
def _statfs() -> Callable[[bytes, ctypes.Array[ctypes.c_char]], int] | None:
    """Find the C library's statfs; None where its first field is not the type."""
    if sys.platform != "linux":
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).statfs
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    return function


def magic_of(path: str) -> int | None:
    """Ask which kind of file system `path` is on.

    Args:
        path: An existing file or directory.

    Returns:
        The number of statfs(2), or None where the system does not tell.
    """
    statfs = _statfs()
    if statfs is None:
        return None
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if statfs(os.fsencode(path), buffer) != 0:
        return None
    return ctypes.c_long.from_buffer(buffer).value & _MAGIC_BITS


def check_file_system(directory: str, magic: Callable[[str], int | None] = magic_of) -> None:
    """Refuse a directory on a network file system, and warn about an unusual one.

    Args:
        directory: Where the file is, or will be.
        magic: Tells the kind of file system.

    Raises:
        StoreLocationError: It is on a network file system.
    """
    found = magic(directory)
    if found is None:
        return
    network = NETWORK_FILE_SYSTEMS.get(found)
    if network is not None:
        raise StoreLocationError(
            f"{directory} is on a network file system ({network}).",
            path=directory,
            hint="The engine's file needs a local disk: locks and shared memory do not work over a network.",
        )
    unusual = UNUSUAL_FILE_SYSTEMS.get(found)
    if unusual is not None:
        _logger.warning("%s is on %s: whether a commit survives a power cut depends on it", directory, unusual)
