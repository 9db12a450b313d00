"""Results, as stored and as they travel.

Rules

1. A notification is what it completes, then what it brings. Both parts are written here by hand,
   so that a result of a megabyte is copied once and a small one costs no message object.
2. What it completes: a completion id (field 1), a signal's index (2) or a signal's name (3).
3. What it brings: nothing (4), a value (5), a failure (6), an invocation's id (16), state keys (17).
4. A value may be empty; that is not nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from durably.engine.records import Failure, Handle, Headers, Result
from durably.protocol import messages

__all__ = [
    "VOID",
    "body_of",
    "completion",
    "failure_of",
    "handle_of_signal",
    "input_payload",
    "invocation_id_body",
    "signal",
    "state_keys_body",
]

VOID: Final = b"\x22\x00"
"""The body of a notification that brings nothing."""


def completion(completion_id: int, body: bytes) -> bytes:
    """Write a notification that completes a command."""
    return b"\x08" + _varint(completion_id) + body


def signal(handle: Handle, body: bytes) -> bytes:
    """Write a signal; its handle is a negative index or a name."""
    if isinstance(handle, int):
        return b"\x10" + _varint(-handle) + body
    name = handle.encode()
    return b"\x1a" + _varint(len(name)) + name + body


def handle_of_signal(index_or_name: int | str) -> Handle:
    """Give the handle of a signal by its index or name."""
    return -index_or_name if isinstance(index_or_name, int) else index_or_name


def body_of(result: Result) -> bytes:
    """Write what a notification brings."""
    if result is None:
        return VOID
    if isinstance(result, Failure):
        content = messages.Failure(
            code=result.code,
            message=result.message,
            metadata=[messages.FailureMetadata(key=key, value=value) for key, value in result.metadata],
        ).SerializeToString()
        return b"\x32" + _varint(len(content)) + content
    size = len(result)
    if size == 0:
        return b"\x2a\x00"
    head = b"\x0a" + _varint(size)
    return b"".join((b"\x2a", _varint(len(head) + size), head, result))


def invocation_id_body(invocation_id: str) -> bytes:
    """Write a notification's body that brings an invocation's id."""
    content = invocation_id.encode()
    return b"\x82\x01" + _varint(len(content)) + content


def state_keys_body(names: Iterable[bytes]) -> bytes:
    """Write a notification's body that brings the names of a key's state."""
    return messages.Notification(state_keys=messages.StateKeys(keys=names)).SerializeToString()


def failure_of(failure: messages.Failure) -> Failure:
    """Read a failure from a message."""
    return Failure(failure.code, failure.message, tuple([(pair.key, pair.value) for pair in failure.metadata]))


def input_payload(headers: Headers, body: bytes) -> bytes:
    """Write the first entry of a journal."""
    return messages.InputCommand(
        headers=[messages.Header(key=name, value=value) for name, value in headers],
        value=messages.Value(content=body),
    ).SerializeToString()


def _varint(number: int) -> bytes:
    if number < 0x80:
        return b"%c" % number
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
