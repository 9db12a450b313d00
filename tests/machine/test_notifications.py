"""Reading notifications: the short cut and the parser agree, and what is wrong is refused."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from durably.errors import RemoteProtocolError
from durably.machine import Failure, Result
from durably.machine.notifications import read_notification
from durably.protocol import messages
from durably.protocol.messages import MessageType
from tests.machine.wire import notification

HANDLES = st.one_of(st.integers(1, 2**32 - 1), st.integers(-(2**32) + 1, -1), st.integers(1, 20000))
RESULTS: st.SearchStrategy[Result] = st.one_of(
    st.none(),
    st.binary(max_size=300),
    st.builds(Failure, st.integers(0, 2**32 - 1), st.text(max_size=5), st.just((("k", "v"),))),
    st.text(max_size=40),
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
)


@given(handle=st.one_of(HANDLES, st.text(max_size=5)), result=RESULTS)
def test_what_is_written_is_read(handle: int | str, result: Result):
    """Every kind of id with every kind of result comes back, at lengths on both sides of the short cut."""
    assert read_notification(notification(MessageType.SIGNAL, handle, result)[1]) == (handle, result)


@pytest.mark.parametrize("handle", [1, 127, 128, 129, 16383, 16384, 2**32 - 1])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 20000])
def test_values_of_every_length(handle: int, size: int):
    """The lengths at which encodings grow are read right."""
    value = b"\x0a" * size
    assert read_notification(notification(MessageType.RUN_COMPLETION, handle, value)[1]) == (handle, value)


@given(payload=st.one_of(st.binary(max_size=12), st.binary(max_size=12).map(lambda tail: b"\x08\x05" + tail)))
def test_the_short_cut_agrees_with_the_parser(payload: bytes):
    """Whatever the bytes are, the answer is the parser's: the same value, or a refusal where it refuses."""
    try:
        message = messages.Notification.FromString(payload)
        expected = message.WhichOneof("id") is not None and message.WhichOneof("result") is not None
        if message.WhichOneof("result") == "state_keys":
            [key.decode() for key in message.state_keys.keys]
    except (ValueError, DecodeError):
        expected = False
    if not expected:
        with pytest.raises(RemoteProtocolError) as caught:
            read_notification(payload)
        assert caught.value.code == 500
        return
    handle, result = read_notification(payload)
    if message.WhichOneof("id") == "completion_id":
        assert handle == message.completion_id
    if message.WhichOneof("result") == "value":
        assert result == message.value.content


def test_a_result_that_only_looks_usual():
    """A result as long as the short cut expects, of another kind, goes to the parser."""
    payload = messages.Notification(completion_id=1, failure=messages.Failure(code=5)).SerializeToString()
    assert read_notification(payload) == (1, Failure(5, ""))
    assert read_notification(b"\x08\x01\x2a\x02\x12\x00") == (1, b"")  # a value with a field of a newer protocol


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "no id"),
        (b"\x08\x01", "no result"),
        (b"\x22\x00", "no id"),
        (b"\x08", "cannot be decoded"),
        (b"\xff\xff", "cannot be decoded"),
        (
            messages.Notification(completion_id=1, state_keys=messages.StateKeys(keys=[b"\xff"])).SerializeToString(),
            "UTF-8",
        ),
    ],
)
def test_what_is_wrong_is_named(payload: bytes, words: str):
    """A notification without id or result, or not decodable, is the peer's error."""
    with pytest.raises(RemoteProtocolError, match=words):
        read_notification(payload)
