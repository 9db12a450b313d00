"""What engines on one file say to each other: requests and outcomes as JSON.

Owns the encoding and the frames. Peers are processes of the same user that share a file, and run the same release or
one close to it; what cannot be read is refused, never guessed. No pickle: a message is data.

A frame is its length, four bytes big-endian, then a JSON array `[number, kind, content]`. Bytes travel as base64.

| from | kind | content |
|---|---|---|
| follower | name of an event's class, or `Registration` | it |
| follower | `Cancel…` does not exist: a request that nobody waits for any more is `Forget` | null |
| driver | name of an outcome's class, or `RegisteredDeployment` | it; `number` is that of the request |
| driver | `StoreError`, `EngineStoppedError`, `ClientError` | the text |
| driver | `RegistryChanged`, number 0 | null |
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from durably.engine import actions, events
from durably.engine.api import RegisteredDeployment, Registration
from durably.errors import ClientError

__all__ = ["FORGET", "MAX_FRAME_BYTES", "REGISTRY_CHANGED", "Message", "decode", "encode", "read_frame"]

Message = tuple[int, str, Any]
"""Number of the request, kind, and the event, outcome or text."""

FORGET: Final = "Forget"
REGISTRY_CHANGED: Final = "RegistryChanged"
MAX_FRAME_BYTES: Final = 96 * 1024 * 1024  # a body at its limit, in base64, with room

_LENGTH_BYTES: Final = 4
_KINDS: Final[tuple[type[Any], ...]] = (
    events.Attach,
    events.Cancel,
    events.CompleteAwakeable,
    events.DeleteDeployment,
    events.EditState,
    events.GetOutput,
    events.Invoke,
    events.Kill,
    events.PatchService,
    events.Pause,
    events.Purge,
    events.Restart,
    events.Resume,
    events.SendSignal,
    actions.Accepted,
    actions.Done,
    actions.Failed,
    actions.NotReady,
    actions.Registered,
    actions.Restarted,
    actions.Success,
    RegisteredDeployment,
    Registration,
)
_CONFIG: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_adapters: dict[str, TypeAdapter[tuple[Any]]] = {}


def _adapter(name: str) -> TypeAdapter[tuple[Any]] | None:
    """Give the adapter of a class, made on first use."""
    if not _adapters.get(name):
        kind = next((kind for kind in _KINDS if kind.__name__ == name), None)
        if kind is None:
            return None
        # In a tuple, because a dataclass alone does not take a configuration from outside.
        _adapters[name] = TypeAdapter(tuple[kind], config=_CONFIG)  # type: ignore[valid-type, arg-type]
    return _adapters[name]


def encode(number: int, kind: str, content: Any = None) -> bytes:
    """Write a frame.

    Args:
        number: Of the request.
        kind: `FORGET` and the like with a text or None as content, or "" for the content's own class.
        content: An event, an outcome, a text or None.

    Raises:
        ClientError: It cannot be written as text, or is too long.
    """
    adapter = None if kind else _adapter(type(content).__name__)
    try:
        if adapter is None:
            body = json.dumps([number, kind, content]).encode()
        else:
            name = type(content).__name__
            body = b'[%d,"%s",%s]' % (number, name.encode(), adapter.dump_json((content,))[1:-1])
    except (ValueError, TypeError) as error:
        raise ClientError(f"A request cannot be handed to the engine that drives the file: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise ClientError(f"A request of {len(body)} bytes is too long for the engine that drives the file.")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def decode(body: bytes) -> Message:
    """Read a frame's body.

    Raises:
        ClientError: It is not what `encode` writes.
    """
    try:
        number, kind, content = json.loads(body)
        adapter = _adapter(kind)
        if adapter is not None:
            content = adapter.validate_json(json.dumps([content]))[0]
    except (ValueError, TypeError, ValidationError) as error:
        raise ClientError("The other engine on this file sent what cannot be read.") from error
    return number, kind, content


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Read the next frame's body; None when the peer is gone.

    Raises:
        ClientError: It is too long.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        if length > MAX_FRAME_BYTES:
            raise ClientError(f"The other engine on this file announces {length} bytes.")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
