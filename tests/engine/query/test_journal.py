"""Journal entries as operators see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import Message

from durably.engine.query.journal import entry_json, entry_lite_json, entry_name, entry_type
from durably.protocol import messages
from durably.protocol.messages import CLASS_OF, MessageType, Value, is_command, is_notification

FAILURE = messages.Failure(code=409, message="no", metadata=[messages.FailureMetadata(key="k", value="v")])

EXAMPLES: list[tuple[MessageType, Message, dict[str, Any], dict[str, Any]]] = [
    (
        MessageType.INPUT,
        messages.InputCommand(headers=[messages.Header(key="a", value="b")], value=Value(content=b"{}")),
        {"Command": {"Input": {"headers": [{"name": "a", "value": "b"}], "payload": [123, 125], "name": ""}}},
        {"Command": {"Input": {}}},
    ),
    (
        MessageType.RUN,
        messages.RunCommand(result_completion_id=1, name="tell"),
        {"Command": {"Run": {"completion_id": 1, "name": "tell"}}},
        {"Command": {"Run": {"completion_id": 1, "name": "tell"}}},
    ),
    (
        MessageType.SET_STATE,
        messages.SetStateCommand(key=b"v", value=Value(content=b"3")),
        {"Command": {"SetState": {"key": "v", "value": [51], "name": ""}}},
        {"Command": {"SetState": {"key": "v"}}},
    ),
    (
        MessageType.OUTPUT,
        messages.OutputCommand(failure=FAILURE),
        {
            "Command": {
                "Output": {
                    "result": {"Failure": {"code": 409, "message": "no", "metadata": [{"key": "k", "value": "v"}]}},
                    "name": "",
                }
            }
        },
        {"Command": {"Output": {"result": "Failure"}}},
    ),
    (
        MessageType.RUN_COMPLETION,
        messages.Notification(completion_id=1, value=Value(content=b"x")),
        {"Notification": {"Completion": {"Run": {"completion_id": 1, "result": {"Success": [120]}}}}},
        {"Notification": {"ty": {"Completion": "Run"}, "id": {"CompletionId": 1}, "result": "Success"}},
    ),
    (
        MessageType.SLEEP_COMPLETION,
        messages.Notification(completion_id=2, void=messages.Void()),
        {"Notification": {"Completion": {"Sleep": {"completion_id": 2, "result": "Void"}}}},
        {"Notification": {"ty": {"Completion": "Sleep"}, "id": {"CompletionId": 2}, "result": "Void"}},
    ),
]


@pytest.mark.parametrize(("kind", "message", "full", "lite"), EXAMPLES, ids=lambda value: getattr(value, "name", ""))
def test_an_entry_is_written_as_the_real_server_writes_it(
    kind: MessageType, message: Message, full: dict[str, Any], lite: dict[str, Any]
) -> None:
    """Payloads as lists of bytes; the lite form without them."""
    payload = message.SerializeToString()
    assert json.loads(entry_json(kind, payload) or "") == full
    assert json.loads(entry_lite_json(kind, payload) or "") == lite


@pytest.mark.parametrize("signal", [{"signal_id": 17}, {"signal_name": "go"}])
def test_signals_are_named_by_index_or_name(signal: dict[str, Any]) -> None:
    """They complete no command."""
    payload = messages.Notification(**signal, value=Value(content=b"x")).SerializeToString()
    (identifier,) = signal.values()
    assert str(identifier) in (entry_json(MessageType.SIGNAL, payload) or "")
    assert entry_type(MessageType.SIGNAL) == "Notification: Signal"


@pytest.mark.parametrize("kind", [kind for kind in MessageType if is_command(kind) or is_notification(kind)])
def test_every_kind_of_entry_can_be_shown(kind: MessageType) -> None:
    """An empty message of each kind has type and JSON."""
    assert entry_type(kind).startswith(("Command: ", "Notification: "))
    payload = CLASS_OF[kind]().SerializeToString()
    assert json.loads(entry_json(kind, payload) or "")
    assert json.loads(entry_lite_json(kind, payload) or "")
    assert (entry_name(kind, payload) is None) is is_notification(kind)


@pytest.mark.parametrize("kind", [MessageType.RUN, MessageType.SIGNAL, 0xFC00, 0x7FFF])
def test_what_cannot_be_read_says_so(kind: int) -> None:
    """Damaged bytes and unknown kinds do not end a query: they are told from what is readable."""
    for written in (entry_json(kind, b"\xff\xff\xff"), entry_lite_json(kind, b"\xff\xff\xff")):
        assert json.loads(written)["Unreadable"]["bytes"] == 3
    assert entry_type(kind)
    assert not entry_name(kind, b"\xff\xff\xff")


def test_a_large_payload_is_left_out_of_the_json() -> None:
    """As numbers it would take many times its size, and the time of everybody else."""
    output = messages.OutputCommand(value=Value(content=b"x" * 2_000_000))
    assert len(entry_json(MessageType.OUTPUT, output.SerializeToString())) < 200
