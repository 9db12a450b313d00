"""Message classes: types and classes agree, the wire bytes are right, and the stub tells the truth."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from durably.errors import RemoteProtocolError
from durably.protocol import messages
from durably.protocol.descriptors import build_file
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import CLASS_OF, MessageType, is_command, is_notification, parse
from durably.protocol.schema import PROTO

FILE = build_file(PROTO)
NAMES = [message.name for message in FILE.message_type]
STUB = ast.parse(Path(messages.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
STUB_CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
RUNTIME = ast.parse(Path(messages.__file__).read_text(encoding="utf-8"))
SCALARS = {8: "bool", 9: "str", 12: "bytes", 13: "int", 4: "int", 14: "int"}

# One message of many kinds, for mutation.
SAMPLES = [
    (
        MessageType.START,
        messages.Start(
            id=b"\1" * 24,
            debug_id="inv_1x",
            known_entries=2,
            state_map=[messages.StateEntry(key=b"k", value=b"v")],
            scope="",
        ),
    ),
    (
        MessageType.INPUT,
        messages.InputCommand(headers=[messages.Header(key="a", value="ü")], value=messages.Value(content=b'{"a": 1}')),
    ),
    (MessageType.CALL, messages.CallCommand(service_name="S", handler_name="h", parameter=b"p", limit_key="l")),
    (MessageType.RUN_COMPLETION, messages.Notification(completion_id=1, value=messages.Value(content=b"1"))),
    (
        MessageType.SIGNAL,
        messages.Notification(
            signal_name="go",
            failure=messages.Failure(code=409, message="no", metadata=[messages.FailureMetadata(key="k", value="v")]),
        ),
    ),
    (
        MessageType.AWAITING_ON,
        messages.AwaitingOn(
            awaiting_on=messages.Future(
                waiting_signals=[1], nested_futures=[messages.Future(waiting_completions=[1, 2], combinator_type=2)]
            )
        ),
    ),
]


@pytest.mark.parametrize("kind", list(MessageType))
def test_every_type_has_a_class(kind: MessageType):
    """A frame of any known type can be parsed, an empty payload included."""
    assert CLASS_OF[kind].FromString(b"") == CLASS_OF[kind]()


def test_all_notifications_share_one_class():
    """The one template reads every notification, and nothing else."""
    of_notifications = {kind for kind, parser in CLASS_OF.items() if parser is messages.Notification}
    assert of_notifications == {kind for kind in MessageType if is_notification(kind)}


def test_command_classes_belong_to_command_types():
    """Names, classes and ranges agree for every command."""
    for kind in MessageType:
        assert is_command(kind) == CLASS_OF[kind].DESCRIPTOR.name.endswith("Command")
    assert {CLASS_OF[kind].DESCRIPTOR.name for kind in MessageType if is_command(kind)} == {
        name for name in NAMES if name.endswith("Command")
    }


@pytest.mark.parametrize(
    ("number", "command", "notification"),
    [
        (0x03FF, False, False),
        (0x0400, True, False),
        (0x7FFF, True, False),
        (0x8000, False, True),
        (0xFBFF, False, True),
        (0xFC00, False, False),
    ],
)
def test_the_edges_of_the_ranges(number: int, command: bool, notification: bool):
    """Unknown numbers belong to the range they lie in."""
    assert (is_command(number), is_notification(number)) == (command, notification)


def test_completions_answer_their_commands():
    """A completion's type is its command's type moved into the range of notifications."""
    names = MessageType.__members__
    for name, kind in names.items():
        if name.endswith("_COMPLETION") and name not in {"PROPOSE_RUN_COMPLETION", "CALL_INVOCATION_ID_COMPLETION"}:
            assert kind == 0x8000 + names[name.removesuffix("_COMPLETION")] - 0x0400


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (messages.RunCommand(result_completion_id=3, name="pay"), "58 03 62 03 706179"),
        (messages.ProposeRunCompletion(result_completion_id=1, value=b"{}"), "08 01 72 02 7b7d"),
        (messages.OutputCommand(value=messages.Value(content=b"1")), "72 03 0a 01 31"),
        (messages.Notification(completion_id=2, void=messages.Void()), "08 02 22 00"),
        (messages.Notification(completion_id=2, invocation_id="i"), "08 02 8201 01 69"),
        (messages.Notification(completion_id=1, state_keys=messages.StateKeys(keys=[b"k"])), "08 01 8a01 03 0a 01 6b"),
        (messages.Suspension(waiting_completions=[1, 300], waiting_signals=[1]), "0a 03 01 ac02 12 01 01"),
        (messages.Start(known_entries=1, random_seed=2**64 - 1), "18 01 48 ffffffffffffffffff01"),
        (messages.Start(scope=""), "52 00"),
        (messages.SendSignalCommand(target_invocation_id="i", idx=1, void=messages.Void()), "0a 01 69 10 01 22 00"),
        (messages.Error(code=570, related_command_index=0, behavior=1), "08 ba04 20 00 48 01"),
    ],
)
def test_known_bytes(message: Message, wire: str):
    """Messages serialize to the bytes that their field numbers and types demand, fields in order."""
    assert message.SerializeToString() == bytes.fromhex(wire)
    assert type(message).FromString(bytes.fromhex(wire)) == message


def test_a_group_holds_one_field():
    """The last field that arrives wins, as proto3 says; the other one is gone."""
    both = messages.Notification.FromString(bytes.fromhex("08 01 10 11 22 00 2a 00"))
    assert (both.WhichOneof("id"), both.signal_id, both.completion_id) == ("signal_id", 17, 0)
    assert both.WhichOneof("result") == "value"


def test_absent_and_empty_differ_where_presence_is_tracked():
    """An empty idempotency key is not the same as none."""
    assert not messages.CallCommand().HasField("idempotency_key")
    assert messages.CallCommand.FromString(bytes.fromhex("32 00")).HasField("idempotency_key")


def test_unknown_fields_are_ignored():
    """A newer peer's fields do not stop an older reader."""
    assert messages.Value.FromString(bytes.fromhex("0a 01 31 98 06 01")).content == b"1"


@given(
    sample=st.sampled_from(SAMPLES),
    edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    kept=st.integers(0, 200),
    repeats=st.integers(1, 3),
    chunk_bytes=st.integers(1, 64),
)
def test_damaged_frames_raise_only_protocol_errors(
    sample: tuple[MessageType, Message],
    edits: list[tuple[int, int]],
    kept: int,
    repeats: int,
    chunk_bytes: int,
):
    """Mutated, cut and repeated frames give frames or our error, and so do their payloads."""
    kind, message = sample
    data = bytearray(encode_frame(kind, message.SerializeToString()) * repeats)
    for place, byte in edits:
        data[place % len(data)] = byte
    stream = bytes(data[: kept or None])
    decoder = FrameDecoder(max_message_bytes=1 << 16)
    frames: list[tuple[int, int, bytes]] = []
    try:
        for start in range(0, len(stream), chunk_bytes):
            frames += decoder.feed(stream[start : start + chunk_bytes])
    except RemoteProtocolError:
        assert decoder.buffered_bytes == 0
    for found, _, payload in frames:
        try:
            parse(CLASS_OF.get(found, messages.Notification), payload)
        except RemoteProtocolError:
            continue


@given(kind=st.sampled_from(list(MessageType)), payload=st.binary(max_size=60))
def test_random_payloads_raise_only_protocol_errors(kind: MessageType, payload: bytes):
    """Whatever a peer sends as payload, parsing it ends in a message or in our error."""
    try:
        parsed = parse(CLASS_OF[kind], payload)
    except RemoteProtocolError:
        return
    assert parse(CLASS_OF[kind], parsed.SerializeToString()).SerializeToString() == parsed.SerializeToString()


def test_deep_futures_are_refused_and_do_not_crash():
    """A future nested far beyond the runtime's limit ends in an error, not in a broken process."""
    payload = b""
    for _ in range(5000):
        payload = b"\x22" + varint(len(payload)) + payload
    with pytest.raises(RemoteProtocolError) as caught:
        parse(messages.Future, payload)
    assert caught.value.code == 500


def test_text_that_is_not_utf8_is_refused():
    """Invalid text ends in our error, whichever error protobuf raises for it."""
    with pytest.raises(RemoteProtocolError, match="not a valid Header"):
        parse(messages.Header, bytes.fromhex("0a 02 c3 28"))


def test_a_parsed_message_has_its_class():
    """A good payload comes back as the message that was asked for."""
    assert parse(messages.Value, bytes.fromhex("0a 01 31")) == messages.Value(content=b"1")


def varint(number: int) -> bytes:
    """Write a number as protocol buffers do."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def expected_annotation(field: Any, name: str) -> str:
    """Give the type that the stub must state for a field of the schema."""
    plain = SCALARS.get(field.type) or field.type_name.rpartition(".")[2]
    if field.label == field.LABEL_REPEATED:
        kind = "Composite" if name == "property" and field.type == field.TYPE_MESSAGE else "Scalar"
        return f"Repeated{kind}FieldContainer[{plain}]"
    return plain


@pytest.mark.parametrize("message", FILE.message_type, ids=NAMES)
def test_the_stub_states_every_field(message: Any):
    """Field names, types and constructor arguments in `messages.pyi` are those of the schema."""
    stated: dict[str, str] = {}
    arguments: dict[str, str] = {}
    for node in STUB_CLASSES[message.name].body:
        if isinstance(node, ast.AnnAssign):
            stated[ast.unparse(node.target)] = ast.unparse(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = {
                argument.arg: ast.unparse(argument.annotation)
                for argument in node.args.kwonlyargs
                if argument.annotation
            }
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            stated[node.name] = ast.unparse(node.returns)
    assert stated == {field.name: expected_annotation(field, "property") for field in message.field}
    plain = {field.name: SCALARS.get(field.type) or field.type_name.rpartition(".")[2] for field in message.field}
    assert arguments == {
        field.name: f"Iterable[{plain[field.name]}] | None"
        if field.label == field.LABEL_REPEATED
        else f"{plain[field.name]} | None"
        for field in message.field
    }


def test_the_stub_and_the_module_offer_the_same_names():
    """Nothing is exported that the stub does not know, and all message types have their number in both."""

    def exported(tree: ast.Module) -> Any:
        (value,) = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        return ast.literal_eval(value)

    assert exported(STUB) == exported(RUNTIME) == messages.__all__
    assert set(NAMES) < set(messages.__all__)
    numbers = {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in STUB_CLASSES["MessageType"].body
        if isinstance(node, ast.Assign)
    }
    assert numbers == {kind.name: kind.value for kind in MessageType}
