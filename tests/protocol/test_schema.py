"""The schema: the facts of the protocol document that the wire depends on."""

from __future__ import annotations

import pytest

from durably.protocol.descriptors import build_file
from durably.protocol.schema import PACKAGE, PROTO

FILE = build_file(PROTO)
FIELDS = {message.name: {field.name: field for field in message.field} for message in FILE.message_type}


def test_the_package_of_the_text_is_the_package_of_the_classes():
    """The text can be compiled by any other tool and gives the same names."""
    assert f"package {PACKAGE};" in PROTO.splitlines()


def test_field_numbers_and_names_are_unique():
    """No message uses a number or a name twice."""
    for message in FILE.message_type:
        assert len({field.number for field in message.field}) == len(message.field)
        assert len({field.name for field in message.field}) == len(message.field)


def test_every_command_carries_its_label_in_field_twelve():
    """All commands are labelled by `name`, except the one whose `name` is a signal's."""
    labels = {
        message: next(name for name, field in fields.items() if field.number == 12)
        for message, fields in FIELDS.items()
        if message.endswith("Command")
    }
    assert len(labels) == 20
    assert {message: label for message, label in labels.items() if label != "name"} == {
        "SendSignalCommand": "entry_name"
    }


def test_completable_commands_carry_their_completion_in_field_eleven():
    """The commands with a result say which notification brings it."""
    completable = {message for message, fields in FIELDS.items() if "result_completion_id" in fields}
    assert completable == {
        "ProposeRunCompletion",
        "GetLazyStateCommand",
        "GetLazyStateKeysCommand",
        "GetPromiseCommand",
        "PeekPromiseCommand",
        "CompletePromiseCommand",
        "SleepCommand",
        "CallCommand",
        "RunCommand",
        "AttachInvocationCommand",
        "GetInvocationOutputCommand",
    }
    assert {FIELDS[message]["result_completion_id"].number for message in completable - {"ProposeRunCompletion"}} == {
        11
    }


@pytest.mark.parametrize(
    ("message", "optional"),
    [
        ("Start", {"scope", "limit_key", "idempotency_key"}),
        (
            "Error",
            {"related_command_index", "related_command_name", "related_command_type", "next_retry_delay"},
        ),
        ("CallCommand", {"idempotency_key", "scope", "limit_key"}),
        ("OneWayCallCommand", {"idempotency_key", "scope", "limit_key"}),
        ("WorkflowTarget", {"scope"}),
        ("IdempotentRequestTarget", {"service_key", "scope"}),
        ("RunCommand", set[str]()),
    ],
)
def test_presence_matters_only_where_the_protocol_says_so(message: str, optional: set[str]):
    """An empty scope and no scope are different things; an empty name and no name are not."""
    assert {name for name, field in FIELDS[message].items() if field.proto3_optional} == optional
