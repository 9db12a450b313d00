"""The journal of an invocation as a time line.

Owns the reading: which command each result belongs to, how long it took, and the words for both. Knows entries only as
they travel, so that the journals of both runtimes read alike.

Source: service protocol, messages; introspection view `sys_journal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from durably.errors import RemoteProtocolError
from durably.machine.mismatches import describe
from durably.operations.times import time_of
from durably.protocol import messages
from durably.protocol.messages import CLASS_OF, MessageType, is_command
from durably.testing.journals import message_type_of

__all__ = ["DEFAULT_CHARS", "Line", "read_timeline"]

DEFAULT_CHARS: Final = 160
"""How much of a value is kept, unless said otherwise."""

_KEY_CHARS: Final = 160
_FIRST_AWAKEABLE: Final = 17
_CANCEL: Final = 1


@dataclass(slots=True)
class Line:
    """One line: a command with its result, or a signal that arrived.

    Attributes:
        index: Of the entry in the journal.
        at: When it was written; None where the runtime does not say.
        kind: Lower case: `run`, `sleep`, `call`, `set state`, `signal`.
        what: The entry for people, as `run 'charge'`.
        took_ms: From the command to its result; None where that is not there, or the command has none.
        result: For people.
        failure: What failed, or None.
        is_open: Whether a result is still awaited.
        callee: The invocation that a call or a message started, where the runtime has told it.
    """

    index: int
    at: datetime | None
    kind: str
    what: str
    took_ms: float | None = None
    result: str = ""
    failure: str | None = None
    is_open: bool = False
    callee: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the line as commands write it with `--json`."""
        return {
            "index": self.index,
            "at": None if self.at is None else self.at.isoformat().replace("+00:00", "Z"),
            "kind": self.kind,
            "what": self.what,
            "took_ms": self.took_ms,
            "result": self.result or None,
            "failure": self.failure,
            "is_open": self.is_open,
        }


def read_timeline(rows: Iterable[Mapping[str, Any]], *, most_chars: int = DEFAULT_CHARS) -> list[Line]:
    """Make the time line of rows of `sys_journal`, in the order of their index.

    Args:
        rows: With `index`, `entry_type`, `appended_at` and `raw`; without `raw`, and with `raw_length`, an entry counts
            as too large.
        most_chars: How much of each value is kept.
    """
    lines: list[Line] = []
    waiting: dict[int, Line] = {}
    for row in rows:
        kind = message_type_of(row["entry_type"])
        at = time_of(row.get("appended_at"))
        index = int(row["index"])
        if "raw" not in row and row.get("raw_length"):
            lines.append(Line(index, at, "unreadable", f"{row['entry_type']} of {row['raw_length']} bytes, too large"))
            continue
        try:
            message: Any = messages.parse(CLASS_OF[kind], bytes.fromhex(row.get("raw") or ""))
        except (KeyError, ValueError, RemoteProtocolError):
            lines.append(Line(index, at, "unreadable", f"{row['entry_type']}, which cannot be read"))
            continue
        if is_command(kind):
            line = _command(index, at, kind, message)
            lines.append(line)
            completion = getattr(message, "result_completion_id", 0)
            if completion:
                line.is_open = True
                waiting[completion] = line
            if number := getattr(message, "invocation_id_notification_idx", 0):
                waiting[number] = line
            continue
        asked = waiting.get(message.completion_id) if message.WhichOneof("id") == "completion_id" else None
        if asked is None:
            lines.append(_signal(index, at, message))
        else:
            _complete(asked, at, message)
    for line in lines:
        line.result = _cut(line.result, most_chars)
        line.failure = None if line.failure is None else _cut(line.failure, most_chars)
    return lines


def _command(index: int, at: datetime | None, kind: int, message: Any) -> Line:
    line = Line(index, at, MessageType(kind).name.lower().replace("_command", "").replace("_", " "), "")
    match kind:
        case MessageType.INPUT:
            line.what, line.result = "input", _text(message.value.content)
        case MessageType.OUTPUT:
            line.what = "output"
            _take(line, message)
        case MessageType.SLEEP:
            until = datetime.fromtimestamp(message.wake_up_time / 1000, UTC)
            line.what = f"sleep until {until:%Y-%m-%d %H:%M:%S}"
        case MessageType.SET_STATE:
            line.what = f"set state {_cut(_text(message.key), _KEY_CHARS)!r}"
            line.result = _text(message.value.content)
        case MessageType.CALL | MessageType.ONE_WAY_CALL:
            key = f"/{message.key}" if message.key else ""
            verb = "call" if kind == MessageType.CALL else "send"
            line.what = f"{verb} {message.service_name}{key}/{message.handler_name}"
            line.result = "" if kind == MessageType.CALL else _delayed(message)
        case _:
            line.what = describe(kind, message)
            if kind in (MessageType.GET_EAGER_STATE, MessageType.GET_EAGER_STATE_KEYS):
                _take(line, message)
    return line


def _delayed(message: Any) -> str:
    if not message.invoke_time:
        return ""
    return f"not before {datetime.fromtimestamp(message.invoke_time / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _signal(index: int, at: datetime | None, message: Any) -> Line:
    if message.WhichOneof("id") == "signal_name":
        what = f"signal {message.signal_name!r}"
    elif message.signal_id == _CANCEL:
        what = "cancellation"
    elif message.signal_id >= _FIRST_AWAKEABLE:
        what = f"awakeable {message.signal_id - _FIRST_AWAKEABLE + 1} completed"
    else:
        what = f"signal {message.signal_id}"
    line = Line(index, at, "signal", what)
    _take(line, message)
    return line


def _complete(line: Line, at: datetime | None, message: Any) -> None:
    if message.WhichOneof("result") == "invocation_id":
        line.callee = message.invocation_id
        line.what = f"{line.what} as {message.invocation_id}"
        if line.kind != "call":
            line.is_open = False
        return
    line.is_open = False
    if at is not None and line.at is not None:
        line.took_ms = (at - line.at).total_seconds() * 1000
    _take(line, message)


def _take(line: Line, message: Any) -> None:
    which = message.WhichOneof("result")
    match which:
        case "failure":
            line.failure = f"[{message.failure.code}] {message.failure.message}"
        case "value":
            line.result = _text(message.value.content)
        case "state_keys":
            line.result = ", ".join(_text(key) for key in message.state_keys.keys)
        case _:
            line.result = ""


def _text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes"
    return text


def _cut(text: str, most_chars: int) -> str:
    return text if len(text) <= most_chars else f"{text[:most_chars]}… ({len(text.encode())} bytes)"
