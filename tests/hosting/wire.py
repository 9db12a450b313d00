"""Writes what a runtime sends and reads what an endpoint answers, for tests that drive an application by hand."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType

INVOCATION_ID = bytes(range(24))
V6 = "application/vnd.restate.invocation.v6"


def frame(kind: MessageType, message: Message) -> bytes:
    """Encode one message."""
    return encode_frame(kind, message.SerializeToString())


def start(known_entries: int = 1, *, key: str = "", state: dict[bytes, bytes] | None = None) -> bytes:
    """Encode a Start; the state given is complete."""
    found = messages.Start(id=INVOCATION_ID, debug_id="inv_test", known_entries=known_entries, key=key, random_seed=7)
    for name, value in (state or {}).items():
        found.state_map.add(key=name, value=value)
    return frame(MessageType.START, found)


def given(body: bytes = b"null") -> bytes:
    """Encode the Input."""
    return frame(MessageType.INPUT, messages.InputCommand(value=messages.Value(content=body)))


def fresh(body: bytes = b"null") -> bytes:
    """Encode the whole journal of a first attempt."""
    return start() + given(body)


def run_command(handle: int, name: str) -> bytes:
    """Encode a recorded step."""
    return frame(MessageType.RUN, messages.RunCommand(result_completion_id=handle, name=name))


def run_completion(handle: int, value: bytes) -> bytes:
    """Encode a step's recorded result."""
    return frame(
        MessageType.RUN_COMPLETION, messages.Notification(completion_id=handle, value=messages.Value(content=value))
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """One message of an answer."""

    kind: MessageType
    message: Message


def read(body: bytes) -> list[Answered]:
    """Decode an answer; it must hold whole messages."""
    decoder = FrameDecoder()
    found = [
        Answered(MessageType(kind), messages.CLASS_OF[kind].FromString(payload))
        for kind, _, payload in decoder.feed(body)
    ]
    assert decoder.buffered_bytes == 0, "the answer ends inside a message"
    return found


def kinds(body: bytes) -> list[MessageType]:
    """Give the kinds of the messages of an answer."""
    return [answered.kind for answered in read(body)]
