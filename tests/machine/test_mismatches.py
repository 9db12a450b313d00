"""Describing commands and their differences."""

from __future__ import annotations

from typing import Any

import pytest

from durably.machine.mismatches import NOT_COMPARED, PAYLOADS, Cause, cause_of, describe, differences
from durably.protocol import messages
from durably.protocol.messages import CLASS_OF, MessageType, is_command

T = MessageType

DESCRIPTIONS: list[tuple[MessageType, dict[str, Any], str]] = [
    (T.INPUT, {}, "input"),
    (T.OUTPUT, {"value": messages.Value()}, "return a result"),
    (T.OUTPUT, {"failure": messages.Failure()}, "fail"),
    (T.GET_LAZY_STATE, {"key": b"k"}, "get state 'k'"),
    (T.GET_EAGER_STATE, {"key": b"\xff"}, "get state '\ufffd'"),
    (T.SET_STATE, {"key": b"k", "name": "n"}, "set state 'k' 'n'"),
    (T.CLEAR_STATE, {"key": b"k" * 100}, "clear state '" + "k" * 80 + "…'"),
    (T.CLEAR_ALL_STATE, {}, "clear all state"),
    (T.GET_LAZY_STATE_KEYS, {}, "get state keys"),
    (T.GET_EAGER_STATE_KEYS, {}, "get state keys"),
    (T.GET_PROMISE, {"key": "p"}, "get promise 'p'"),
    (T.PEEK_PROMISE, {"key": "p"}, "peek at promise 'p'"),
    (T.COMPLETE_PROMISE, {"key": "p"}, "complete promise 'p'"),
    (T.SLEEP, {"name": "nap"}, "sleep 'nap'"),
    (T.CALL, {"service_name": "S", "handler_name": "h"}, "call S/h"),
    (T.CALL, {"service_name": "S", "handler_name": "h", "key": "a\n"}, "call S['a\\n']/h"),
    (T.ONE_WAY_CALL, {"service_name": "S", "handler_name": "h"}, "send to S/h"),
    (T.SEND_SIGNAL, {"target_invocation_id": "inv", "idx": 1}, "cancel inv"),
    (T.SEND_SIGNAL, {"target_invocation_id": "inv", "idx": 17}, "send signal 17 to inv"),
    (T.SEND_SIGNAL, {"target_invocation_id": "inv", "name": "go", "entry_name": "n"}, "send signal 'go' to inv 'n'"),
    (T.RUN, {"name": "charge"}, "run 'charge'"),
    (T.ATTACH_INVOCATION, {"invocation_id": "inv"}, "attach to inv"),
    (
        T.ATTACH_INVOCATION,
        {"workflow_target": messages.WorkflowTarget(workflow_name="W", workflow_key="k")},
        "attach to W['k']",
    ),
    (
        T.GET_INVOCATION_OUTPUT,
        {"idempotent_request_target": messages.IdempotentRequestTarget(service_name="S", handler_name="h")},
        "get the output of S/h with ''",
    ),
    (T.COMPLETE_AWAKEABLE, {"awakeable_id": "sign_1a"}, "complete awakeable 'sign_1a'"),
]


@pytest.mark.parametrize(("kind", "fields", "words"), DESCRIPTIONS)
def test_commands_are_described_as_their_author_would(kind: MessageType, fields: dict[str, Any], words: str):
    """Each command has words of its own, with its target and its name, control characters escaped."""
    assert describe(kind, CLASS_OF[kind](**fields)) == words


def test_every_command_can_be_described():
    """No command of the protocol is forgotten."""
    assert {kind for kind, _, _ in DESCRIPTIONS} == {kind for kind in T if is_command(kind)}


@pytest.mark.parametrize("table", [NOT_COMPARED, PAYLOADS])
def test_tables_name_fields_that_exist(table: Any):
    """A typing error in a field's name would silently compare it."""
    for kind, names in table.items():
        assert names <= set(CLASS_OF[kind].DESCRIPTOR.fields_by_name)


def found(
    kind: MessageType, recorded: dict[str, Any], asked: dict[str, Any], *, with_payloads: bool = True
) -> list[str]:
    """Give the differences as text."""
    message_class = CLASS_OF[kind]
    both = (message_class(**recorded), message_class(**asked))
    return list(map(str, differences(kind, *both, with_payloads=with_payloads)))


def test_differences_show_both_sides():
    """Each field that differs shows what the journal holds and what was asked for."""
    assert found(T.CALL, {"service_name": "S", "key": "a"}, {"service_name": "T", "result_completion_id": 2}) == [
        "service_name: 'S' in the journal, 'T' now",
        "key: 'a' in the journal, nothing now",
        "result_completion_id: nothing in the journal, 2 now",
    ]


def test_payloads_and_headers_are_not_shown():
    """Only sizes and names of what may be confidential get into texts."""
    headers = [messages.Header(key="authorization", value="secret")]
    texts = found(T.CALL, {"parameter": b"secret", "headers": headers}, {"parameter": b"secrets"})
    assert texts == [
        "parameter: 6 bytes in the journal, 7 bytes now",
        "headers: [authorization: 6 characters] in the journal, nothing now",
    ]
    assert found(T.SET_STATE, {"value": messages.Value(content=b"a")}, {"value": messages.Value()}) == [
        "value: content=1 bytes in the journal, empty now"
    ]


def test_payloads_count_as_present_or_absent_without_checks():
    """Without payload checks a value is a value, but a failure is none."""
    value, failure = messages.Value(content=b"a"), messages.Failure(code=1)
    assert not found(T.OUTPUT, {"value": value}, {"value": messages.Value()}, with_payloads=False)
    assert len(found(T.OUTPUT, {"value": value}, {"failure": failure}, with_payloads=False)) == 2
    assert not found(T.CALL, {"parameter": b"a"}, {}, with_payloads=False)


@pytest.mark.parametrize(
    ("recorded", "asked", "cause"),
    [
        ({"parameter": b"1"}, {"parameter": b"2"}, Cause.PAYLOAD),
        ({"name": "a"}, {"name": "b"}, Cause.LABEL),
        ({"result_completion_id": 1}, {"result_completion_id": 2}, Cause.ORDER),
        ({"service_name": "a"}, {"service_name": "b"}, Cause.OTHER_PATH),
        ({"name": "a", "key": "b"}, {}, Cause.OTHER_PATH),
    ],
)
def test_causes_fit_the_differences(recorded: dict[str, Any], asked: dict[str, Any], cause: str):
    """The hint depends on what differs."""
    both = (messages.CallCommand(**recorded), messages.CallCommand(**asked))
    assert cause_of(differences(T.CALL, *both, with_payloads=True)) == cause
