"""Where in the handler's code an operation was called, for errors about the journal."""

from __future__ import annotations

import asyncio.events
import os
import sys
from types import FrameType, TracebackType

__all__ = ["caller_location", "handled_location"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OUTSIDE_HANDLERS = (os.path.join(_PACKAGE, "hosting") + os.sep, os.path.abspath(asyncio.events.__file__))
"""Code that calls handlers, directly or as tasks: what stands above it is not the handler's."""

_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


def caller_location(beyond: str | None = None) -> str | None:
    """Give `file:line in function` of the closest caller that is neither ours nor the standard library's.

    Gives None where no code of the handler is on the stack. Only used for error texts: it is slow.

    Args:
        beyond: Folder of an adapter whose code is not the handler's either.
    """
    ours = (_PACKAGE, "<frozen") if beyond is None else (_PACKAGE, "<frozen", beyond + os.sep)
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] # documented, nothing else gives it
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_OUTSIDE_HANDLERS):
            return None
        if not path.startswith(ours) and not _is_library(path):
            return f"{path}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        frame = frame.f_back
    return None


def handled_location(error: BaseException) -> str | None:
    """Give `file:line in function` of where code of the application caught `error`, or let it pass last.

    Gives None when it was not raised through such code.
    """
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        path = code.co_filename
        if not path.startswith((_PACKAGE, "<frozen")) and not _is_library(path):
            return f"{path}:{traceback.tb_lineno} in {code.co_qualname}"
        traceback = traceback.tb_next
    return None


def _is_library(path: str) -> bool:
    return path.startswith(_LIBRARY) and not path.startswith((_LIBRARY + "site-packages", _LIBRARY + "dist-packages"))
