"""The reference page about the wire states what the code does."""

from __future__ import annotations

from pathlib import Path

from durably.protocol.framing import DEFAULT_MAX_MESSAGE_BYTES
from durably.protocol.ids import InvocationId, awakeable_id, deployment_id
from durably.protocol.messages import CLASS_OF, REQUESTED_ACK, MessageType
from durably.protocol.versions import ProtocolVersion, content_type_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")
LINES = PAGE.splitlines()


def test_the_table_of_messages_is_complete():
    """Every type is listed once, in order, with its name and payload, and no other."""
    stated = [line for line in LINES if line.startswith("| `0x")]
    assert stated == [
        f"| `0x{kind:04X}` | `{kind.name}` | `{CLASS_OF[kind].DESCRIPTOR.name}` |" for kind in MessageType
    ]


def test_the_versions_are_complete():
    """Every version is listed with its content type."""
    stated = [line for line in LINES if line.startswith("| V")][1:]
    assert [line.split(" | ")[:2] for line in stated] == [
        [f"| {version.name}", f"`{content_type_of(version)}`"] for version in ProtocolVersion
    ]


def test_the_numbers_are_right():
    """The limit, the flag and the lengths of identifiers are those of the code."""
    assert f"{DEFAULT_MAX_MESSAGE_BYTES >> 20} MiB" in PAGE
    assert f"`{REQUESTED_ACK:#06x}`" in PAGE
    invocation = InvocationId(1, 2)
    for text in (invocation.encode(), deployment_id(3), awakeable_id(invocation.raw, 17)):
        row = next(line for line in LINES if f"`{text.partition('_')[0]}_1`" in line)
        assert row.endswith(f"| {len(text)} |")
