"""What the witness writes down besides its journal: when attempts ran, and which steps were executed.

Owns the file, named by `DURABLY_WITNESS_LOG`; without it nothing is written. Lines have one writer each, so they stay
whole whatever dies:

    begin ADDRESS INVOCATION ATTEMPT TIME
    end   ADDRESS INVOCATION ATTEMPT TIME
    step  TOKEN

Times are of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["STEPS", "attending", "stepped"]

STEPS: Final = 3


@contextmanager
def attending(address: str, invocation_id: str) -> Generator[None]:
    """Write when an attempt begins and how it is left: by its end, a suspension or an abort."""
    attempt = uuid.uuid4().hex
    _write(f"begin {address} {invocation_id} {attempt} {time.monotonic()!r}")
    try:
        yield
    finally:
        _write(f"end {address} {invocation_id} {attempt} {time.monotonic()!r}")


def stepped(token: str) -> str:
    """Write that a step was executed; gives its token."""
    _write(f"step {token}")
    return token


def _write(line: str) -> None:
    path = os.environ.get("DURABLY_WITNESS_LOG")
    if path is None:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)
