"""From the protocol buffer text in `durably.protocol.schema` to message classes.

Owns reading the few proto3 constructs that the schema uses: messages with plain, `repeated` and
`optional` fields and `oneof` groups, and enums; one construct per line, no nesting of messages.
The classes come from a descriptor pool of their own, so that they cannot collide with other copies
of the service protocol in the same process, such as that of another SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from durably.protocol.schema import PACKAGE, PROTO

__all__ = ["build_file", "build_message_classes"]

_MESSAGE = re.compile(r"message (\w+) \{")
_ENUM = re.compile(r"enum (\w+) \{")
_ONEOF = re.compile(r"oneof (\w+) \{")
_FIELD = re.compile(r"(?:(repeated|optional) )?(\w+) (\w+) = (\d+);")
_ENUM_VALUE = re.compile(r"(\w+) = (\d+);")

_FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _FieldProto.TYPE_BOOL,
    "bytes": _FieldProto.TYPE_BYTES,
    "string": _FieldProto.TYPE_STRING,
    "uint32": _FieldProto.TYPE_UINT32,
    "uint64": _FieldProto.TYPE_UINT64,
}


def build_file(text: str) -> descriptor_pb2.FileDescriptorProto:
    """Read protocol buffer text into a file descriptor.

    Raises:
        ValueError: A line is not one of the constructs that this module reads.
    """
    file = descriptor_pb2.FileDescriptorProto(name="durably/protocol.proto", package=PACKAGE, syntax="proto3")
    message: descriptor_pb2.DescriptorProto | None = None
    enum: descriptor_pb2.EnumDescriptorProto | None = None
    in_oneof = False
    optional: list[descriptor_pb2.FieldDescriptorProto] = []
    enums = frozenset(re.findall(r"^enum (\w+)", text, re.MULTILINE))
    for raw in text.splitlines():
        line = raw.partition("//")[0].strip()
        if not line or line == 'syntax = "proto3";' or line == f"package {PACKAGE};":
            continue
        if message is not None and (opened := _ONEOF.fullmatch(line)):
            message.oneof_decl.add(name=opened[1])
            in_oneof = True
        elif opened := _MESSAGE.fullmatch(line):
            message = file.message_type.add(name=opened[1])
        elif opened := _ENUM.fullmatch(line):
            enum = file.enum_type.add(name=opened[1])
        elif line == "}" and in_oneof:
            in_oneof = False
        elif line == "}" and message is not None:
            _add_presence(message, optional)
            message, optional = None, []
        elif line == "}" and enum is not None:
            enum = None
        elif enum is not None and (value := _ENUM_VALUE.fullmatch(line)):
            enum.value.add(name=value[1], number=int(value[2]))
        elif message is not None and (found := _FIELD.fullmatch(line)):
            field = _add_field(message, found, enums)
            if found[1] == "optional":
                optional.append(field)
            if in_oneof:
                field.oneof_index = len(message.oneof_decl) - 1
        else:
            raise ValueError(f"Not a line of the message schema: {raw!r}.")
    return file


def _add_field(
    message: descriptor_pb2.DescriptorProto, found: re.Match[str], enums: frozenset[str]
) -> descriptor_pb2.FieldDescriptorProto:
    label, type_name, name, number = found.groups()
    field = message.field.add(
        name=name,
        number=int(number),
        label=_FieldProto.LABEL_REPEATED if label == "repeated" else _FieldProto.LABEL_OPTIONAL,
    )
    scalar = _SCALARS.get(type_name)
    if scalar is not None:
        field.type = scalar
    else:
        field.type = _FieldProto.TYPE_ENUM if type_name in enums else _FieldProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{type_name}"
    return field


def _add_presence(message: descriptor_pb2.DescriptorProto, optional: list[descriptor_pb2.FieldDescriptorProto]) -> None:
    # proto3 tells an absent `optional` field from an empty one by a oneof of its own; those come after the real ones.
    for field in optional:
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{field.name}")


def build_message_classes() -> Mapping[str, type[Message]]:
    """Build the class of every message in the schema, by message name."""
    file = build_file(PROTO)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}"))
        for message in file.message_type
    }
