"""The reader of the schema: every construct it knows, and an error for every other line."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from durably.protocol.descriptors import build_file, build_message_classes

TEXT = """
syntax = "proto3";
package durably.protocol;

// A comment.
message One {
  uint32 number = 1;  // a trailing comment
  optional string maybe = 2;
  oneof choice {
    bytes left = 3;
    Two right = 4;
  }
  repeated Kind kinds = 5;
  optional bool flag = 6;
}

message Two {
}

enum Kind {
  FIRST = 0;
  SECOND = 1;
}
"""


def test_every_construct_is_read():
    """Labels, scalar and named types, groups and enum values end up in the descriptor."""
    file = build_file(TEXT)
    one, two = file.message_type
    kinds = descriptor_pb2.FieldDescriptorProto
    assert [(field.name, field.number, field.type, field.label) for field in one.field] == [
        ("number", 1, kinds.TYPE_UINT32, kinds.LABEL_OPTIONAL),
        ("maybe", 2, kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        ("left", 3, kinds.TYPE_BYTES, kinds.LABEL_OPTIONAL),
        ("right", 4, kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL),
        ("kinds", 5, kinds.TYPE_ENUM, kinds.LABEL_REPEATED),
        ("flag", 6, kinds.TYPE_BOOL, kinds.LABEL_OPTIONAL),
    ]
    assert one.field[3].type_name == ".durably.protocol.Two"
    assert [oneof.name for oneof in one.oneof_decl] == ["choice", "_maybe", "_flag"]
    assert [one.oneof_decl[field.oneof_index].name for field in one.field if field.HasField("oneof_index")] == [
        "_maybe",
        "choice",
        "choice",
        "_flag",
    ]
    assert (two.name, len(two.field)) == ("Two", 0)
    assert [(value.name, value.number) for value in file.enum_type[0].value] == [("FIRST", 0), ("SECOND", 1)]


@pytest.mark.parametrize(
    "line",
    [
        "uint32 outside = 1;",
        "VALUE = 1;",
        "option java_package = 1;",
        "message Open",
        "oneof outside {",
        "}",
        "enum Kind { FIRST = 0; }",
    ],
)
def test_other_lines_are_errors(line: str):
    """What the reader does not know cannot vanish silently."""
    with pytest.raises(ValueError, match="Not a line"):
        build_file(f'syntax = "proto3";\n{line}\n')


@pytest.mark.parametrize("line", ["reserved 2;", "map<string, string> fields = 1;", "uint32 number = x;"])
def test_other_lines_in_a_message_are_errors(line: str):
    """The same holds inside of a message."""
    with pytest.raises(ValueError, match="Not a line"):
        build_file(f"message One {{\n  {line}\n}}\n")


def test_the_classes_stay_out_of_the_default_pool():
    """Another library may define the same names in this process."""
    classes = build_message_classes()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(classes["Start"].DESCRIPTOR.full_name)


def test_building_twice_gives_independent_classes():
    """A second build cannot clash with the first one."""
    first, second = build_message_classes(), build_message_classes()
    assert first["Value"] is not second["Value"]
    assert second["Value"].FromString(first["Value"](content=b"x").SerializeToString()) == second["Value"](content=b"x")
