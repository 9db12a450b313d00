"""Where in the handler's code an operation was called, for errors about the journal."""

from __future__ import annotations

import os
import sys
from types import FrameType

import durably

__all__ = ["caller_location"]

_PACKAGE = os.path.dirname(os.path.abspath(durably.__file__)) + os.sep  # noqa: PTH100, PTH120 - compared with code objects' text
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep  # noqa: PTH100, PTH120


def caller_location() -> str | None:
    """Give `file:line in function` of the closest caller that is neither ours nor the standard library's.

    Code below a stack that has no such frame gives None. Only used for error texts: it is slow.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to see one's caller without a traceback
    while frame is not None:
        path = frame.f_code.co_filename
        own_code = path.startswith((_PACKAGE, "<")) and not path.startswith("<stdin>")
        if not own_code and (not path.startswith(_LIBRARY) or "site-packages" in path):
            return f"{path}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        frame = frame.f_back
    return None
