"""Version negotiation compares content types exactly."""

from __future__ import annotations

import pytest

from durably.errors import UnsupportedVersionError
from durably.protocol.versions import (
    MAX_VERSION,
    MIN_VERSION,
    ProtocolVersion,
    content_type_of,
    version_of_content_type,
)


@pytest.mark.parametrize("version", list(ProtocolVersion))
def test_a_content_type_names_its_version(version: ProtocolVersion):
    """Each supported version survives the way through its content type."""
    assert content_type_of(version) == f"application/vnd.restate.invocation.v{int(version)}"
    assert version_of_content_type(content_type_of(version)) is version


def test_the_range_is_five_to_seven():
    """The range that goes into the manifest."""
    assert (MIN_VERSION, MAX_VERSION) == (5, 7)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "application/json",
        "application/vnd.restate.invocation.v4",
        "application/vnd.restate.invocation.v8",
        "application/vnd.restate.invocation.v6; charset=utf-8",
        "application/vnd.restate.invocation.v6 ",
        "Application/vnd.restate.invocation.v6",
        "application/vnd.restate.invocation.v6,application/vnd.restate.invocation.v7",
    ],
)
def test_anything_else_is_unsupported(value: str | None):
    """Nothing but the exact string is accepted, and the error keeps what was offered."""
    with pytest.raises(UnsupportedVersionError) as caught:
        version_of_content_type(value)
    assert caught.value.code == 415
    assert caught.value.offered == value
