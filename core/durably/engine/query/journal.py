"""Journal entries as operators see them: type, name, JSON.

Owns the JSON form: `{"Command": {"Run": {…}}}` or `{"Notification": {…}}`, with payloads as lists of bytes. The lite
form leaves out payloads and headers.
"""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.message import Message

from durably.errors import RemoteProtocolError
from durably.protocol import messages
from durably.protocol.messages import CLASS_OF, CallCommand, InputCommand, MessageType, Notification, is_command

__all__ = ["entry_json", "entry_lite_json", "entry_name", "entry_type", "type_name"]

_COMPLETION: Final = "Completion"
_MOST_BYTES: Final = 1024 * 1024
_RESULTS: Final = ("void", "value", "failure", "invocation_id", "state_keys")


def type_name(message_type: int) -> str:
    """Name a message type without `Command` or `Completion`: `Run`, `Sleep`, `Signal`."""
    try:
        name = MessageType(message_type).name
    except ValueError:
        return f"Custom{message_type:#06x}"
    return "".join(part.capitalize() for part in name.split("_")).removesuffix(_COMPLETION)


def entry_type(message_type: int) -> str:
    """Say what an entry is: `Command: Run`, `Notification: Run`."""
    category = "Command" if is_command(message_type) else "Notification"
    return f"{category}: {type_name(message_type)}"


def entry_name(message_type: int, payload: bytes) -> str | None:
    """Give the name of a command; None for notifications."""
    if not is_command(message_type):
        return None
    return getattr(_parsed(message_type, payload), "name", "")


def entry_json(message_type: int, payload: bytes) -> str:
    """Write an entry as JSON.

    What has more than a mebibyte is written without its payload: as a list of numbers it would take a multiple of
    that, and it is in the column of raw bytes anyway. What is damaged says so.
    """
    return _written(message_type, payload, lite=len(payload) > _MOST_BYTES)


def entry_lite_json(message_type: int, payload: bytes) -> str:
    """Write an entry as JSON without payloads and headers."""
    return _written(message_type, payload, lite=True)


def _written(message_type: int, payload: bytes, *, lite: bool) -> str:
    message = _parsed(message_type, payload)
    name = type_name(message_type)
    if message is None:
        unreadable = {"type": name, "reason": "its bytes are no message of this type", "bytes": len(payload)}
        return json.dumps({"Unreadable": unreadable}, separators=(",", ":"))
    if is_command(message_type):
        value: Any = {"Command": {name: _fields(message, lite=lite)}}
    else:
        assert isinstance(message, Notification)
        value = {"Notification": _notification(name, message, lite=lite)}
    return json.dumps(value, separators=(",", ":"))


def _parsed(message_type: int, payload: bytes) -> Message | None:
    message_class = CLASS_OF.get(message_type)
    if message_class is None:
        return None
    try:
        return messages.parse(message_class, payload)
    except RemoteProtocolError:
        return None


def _notification(name: str, message: Notification, *, lite: bool) -> Any:
    result = _result(message, lite=lite)
    if name != "Signal":
        if lite:
            return {"ty": {_COMPLETION: name}, "id": {"CompletionId": message.completion_id}, "result": result}
        return {_COMPLETION: {name: {"completion_id": message.completion_id, "result": result}}}
    by_name = message.WhichOneof("id") == "signal_name"
    identifier: Any = {"SignalName": message.signal_name} if by_name else {"SignalIndex": message.signal_id}
    if lite:
        return {"ty": "Signal", "id": identifier, "result": result}
    return {"Signal": {"id": {("Name" if by_name else "Index"): next(iter(identifier.values()))}, "result": result}}


def _result(message: Message, *, lite: bool) -> Any:
    """Write the `result` of a message: a name alone in the lite form, and for a void."""
    which = message.WhichOneof("result")
    if which is None or which == "void":
        return "Void"
    value = getattr(message, which)
    match which:
        case "value":
            return "Success" if lite else {"Success": list(value.content)}
        case "failure":
            return "Failure" if lite else {"Failure": _failure(value)}
        case "invocation_id":
            return "InvocationId" if lite else {"InvocationId": value}
        case _:
            return "StateKeys" if lite else {"StateKeys": [key.decode(errors="replace") for key in value.keys]}


def _failure(failure: Any) -> dict[str, Any]:
    metadata = [{"key": item.key, "value": item.value} for item in failure.metadata]
    return {"code": failure.code, "message": failure.message, "metadata": metadata}


def _fields(message: Message, *, lite: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    oneofs = {oneof.name for oneof in message.DESCRIPTOR.oneofs}
    if "result" in oneofs:
        fields["result"] = _result(message, lite=lite)
    for descriptor in message.DESCRIPTOR.fields:
        name = descriptor.name
        if name in _RESULTS and "result" in oneofs:
            continue
        value = getattr(message, name)
        if name == "headers":
            if not lite:
                fields[name] = [{"name": header.key, "value": header.value} for header in value]
        elif name == "key" and isinstance(value, bytes):
            fields[name] = value.decode(errors="replace")
        elif isinstance(value, bytes):
            if not lite:
                fields[name] = list(value)
        elif isinstance(value, Message):
            if not lite and message.HasField(name):
                is_input = isinstance(message, InputCommand)
                fields["payload" if is_input and name == "value" else name] = _nested(value)
        elif name == "result_completion_id" and not isinstance(message, CallCommand):
            fields["completion_id"] = value
        elif isinstance(value, (int, str)) and (not lite or value or name.endswith("_id")):
            fields[name] = value
    return fields


def _nested(message: Message) -> Any:
    descriptors = message.DESCRIPTOR.fields
    if [descriptor.name for descriptor in descriptors] == ["content"]:
        content: bytes = getattr(message, "content")  # noqa: B009 - the class is not known
        return list(content)
    if message.DESCRIPTOR.name == "Failure":
        return _failure(message)
    return _fields(message, lite=False)
