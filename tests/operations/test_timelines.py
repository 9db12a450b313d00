"""The time line of a journal: every kind of entry has its words, and finds its result."""

from __future__ import annotations

from typing import Any

import pytest

from durably.engine.query.journal import entry_type
from durably.operations.timelines import read_timeline
from durably.operations.times import duration, time_of
from durably.protocol import messages
from durably.protocol.messages import MessageType


def rows(*entries: tuple[int, Any]) -> list[dict[str, Any]]:
    """Write entries as `sys_journal` has them, a second apart."""
    return [
        {
            "index": index,
            "entry_type": entry_type(kind),
            "raw": message.SerializeToString().hex(),
            "appended_at": f"2026-01-01T00:00:{index:02}.000Z",
        }
        for index, (kind, message) in enumerate(entries)
    ]


def value(text: str) -> messages.Value:
    """Make a value."""
    return messages.Value(content=text.encode())


def test_results_find_their_commands():
    """Results that come in another order belong to the commands that asked for them, with the time between."""
    lines = read_timeline(
        rows(
            (MessageType.RUN, messages.RunCommand(name="a", result_completion_id=1)),
            (MessageType.RUN, messages.RunCommand(name="b", result_completion_id=2)),
            (MessageType.RUN_COMPLETION, messages.Notification(completion_id=2, value=value("2"))),
            (
                MessageType.RUN_COMPLETION,
                messages.Notification(completion_id=1, failure=messages.Failure(code=402, message="declined")),
            ),
        )
    )
    assert [(line.what, line.took_ms, line.result, line.failure) for line in lines] == [
        ("run 'a'", 3000, "", "[402] declined"),
        ("run 'b'", 1000, "2", None),
    ]


def test_signals_have_lines_of_their_own():
    """What arrives from outside says what it is: a cancellation, an awakeable, a named signal."""
    lines = read_timeline(
        rows(
            (MessageType.SIGNAL, messages.Notification(signal_id=1, void=messages.Void())),
            (MessageType.SIGNAL, messages.Notification(signal_id=18, value=value('"yes"'))),
            (MessageType.SIGNAL, messages.Notification(signal_name="go", value=value("1"))),
        )
    )
    assert [(line.what, line.result) for line in lines] == [
        ("cancellation", ""),
        ("awakeable 2 completed", '"yes"'),
        ("signal 'go'", "1"),
    ]


def test_state_and_messages():
    """State says which key and value, a send to whom and when; what is long or not text is shortened."""
    lines = read_timeline(
        rows(
            (MessageType.SET_STATE, messages.SetStateCommand(key=b"n", value=value("x" * 500))),
            (
                MessageType.GET_EAGER_STATE,
                messages.GetEagerStateCommand(key=b"n", value=messages.Value(content=b"\xff")),
            ),
            (
                MessageType.ONE_WAY_CALL,
                messages.OneWayCallCommand(
                    service_name="S", handler_name="h", key="k", invoke_time=1_000, invocation_id_notification_idx=1
                ),
            ),
            (MessageType.CALL_INVOCATION_ID_COMPLETION, messages.Notification(completion_id=1, invocation_id="inv_1x")),
        )
    )
    assert lines[0].what == "set state 'n'"
    assert lines[0].result.endswith("… (500 bytes)")
    assert lines[1].result == "1 bytes"
    assert (lines[2].what, lines[2].result) == ("send S/k/h as inv_1x", "not before 1970-01-01 00:00:01")
    assert not lines[2].is_open


def test_what_cannot_be_read_is_a_line():
    """A damaged entry does not hide the others."""
    [line] = read_timeline([{"index": 3, "entry_type": "Command: Run", "raw": "ff"}])
    assert (line.kind, line.index, line.at) == ("unreadable", 3, None)
    assert line.to_json()["at"] is None


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.4, "0 ms"),
        (999, "999 ms"),
        (1500, "1.5 s"),
        (125_000, "2 min 5 s"),
        (3_600_000, "1 h"),
        (93_600_000, "1 d 2 h"),
    ],
)
def test_durations(milliseconds: float, text: str):
    """Durations are written in the units that people would use."""
    assert duration(milliseconds) == text


def test_times():
    """Times are read with any number of digits, and none is none."""
    assert time_of("") is None
    for text in ("2026-01-01T00:00:01Z", "2026-01-01T00:00:01.000Z", "2026-01-01T00:00:01.000000000Z"):
        read = time_of(text)
        assert read is not None
        assert read.isoformat() == "2026-01-01T00:00:01+00:00"
