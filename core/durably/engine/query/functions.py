"""Functions of queries: those that the views need, and those that operators may use.

Owns the list of what is allowed: nothing that touches files, loads code, makes values of a size that an argument
chooses, or takes more time than its arguments have characters. And one damaged value spoils its own column of its own
row, never the query: what cannot be read is NULL, or says so where there is a place for text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, Final, cast

from durably.engine.ingress.durations import MAX_TIME_MS, format_iso_duration, rfc_3339_millis
from durably.engine.query.journal import entry_json, entry_lite_json, entry_name, entry_type, type_name
from durably.engine.query.texts import TEXTS
from durably.errors import RemoteProtocolError
from durably.protocol import messages
from durably.protocol.messages import Future

SqlValue = str | bytes | int | float | None

__all__ = ["ALLOWED", "INTERNAL", "INTERNAL_NAMES", "add_functions"]

_COMBINATORS: Final = MappingProxyType(
    {
        0: "Unknown",
        1: "FirstCompleted",
        2: "AllCompleted",
        3: "FirstSucceededOrAllFailed",
        4: "AllSucceededOrFirstFailed",
    }
)

_DAMAGED: Final = "(cannot be read: what is stored is damaged)"
_MOST_ARRAY: Final = 1024 * 1024

_BUILT_IN: Final = """
    -> ->> abs avg ceil ceiling changes char coalesce count cume_dist date datetime dense_rank first_value
    floor group_concat hex ifnull iif instr json json_array json_array_length json_each json_extract json_object
    json_quote json_tree json_type json_valid julianday lag last_value lead length like lower ltrim max min mod
    nth_value ntile nullif percent_rank pow power quote rank replace round row_number rtrim sign sqrt strftime
    string_agg substr substring sum time total trim trunc typeof unicode unixepoch upper
"""


def _iso_time(value: object) -> str | None:
    return rfc_3339_millis(value) if isinstance(value, int) and 0 <= value <= MAX_TIME_MS else None


def _iso_duration(value: object) -> str | None:
    return format_iso_duration(value) if isinstance(value, int) else None


def _endpoint_of(uri: str | None) -> str | None:
    if uri is None or not uri.startswith("http") or "/" in uri.partition("://")[2]:
        return uri
    return uri + "/"


def _json_field(record: bytes | None, path: str) -> SqlValue:
    """Give a field of a stored record, `a.b` being one of one; lists and objects have none."""
    try:
        found: Any = _details(record)
        for name in path.split("."):
            found = found.get(name)
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, (str, int, float)) else None


def _utf8(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _service_of_target(target: str | None) -> str | None:
    return None if not target else target.partition("/")[0]


def _failure_text(failure: bytes | None) -> str | None:
    if failure is None:
        return None
    try:
        code, message, _ = json.loads(failure)
    except (ValueError, TypeError, RecursionError):
        return _DAMAGED
    return f"[{code}] {message}"


def _details(encoded: bytes | None) -> dict[str, Any]:
    """Read the details of an invocation.

    Raises:
        ValueError: They are damaged.
    """
    if not encoded:
        return {}
    try:
        details: object = json.loads(encoded)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(details, dict):
        raise ValueError("no object")
    return cast("dict[str, Any]", details)


def _failure_field(details: bytes | None, name: str) -> SqlValue:
    try:
        failure = _details(details).get("failure")
        return None if failure is None else _field(failure, name)
    except (ValueError, TypeError, KeyError, AttributeError):
        return _DAMAGED if name == "text" else None


def _field(failure: dict[str, Any], name: str) -> SqlValue:
    if name == "text":
        return f"[{failure['code']}] {failure['message']}"
    value: SqlValue = failure.get(name)
    if name == "command_type" and isinstance(value, int):
        return type_name(value)
    return None if value == "" else value


def _future(details: bytes | None, name: str) -> Future | None:
    try:
        encoded = _details(details).get(name)
        return None if encoded is None else messages.parse(Future, bytes.fromhex(encoded))
    except (ValueError, TypeError, RemoteProtocolError):
        return None


def _awaited_completions(details: bytes | None) -> str | None:
    return _leaves(_future(details, "suspended_on"), "waiting_completions")


def _awaited_signals(details: bytes | None) -> str | None:
    return _leaves(_future(details, "suspended_on"), "waiting_signals")


def _leaves(future: Future | None, name: str) -> str | None:
    if future is None:
        return None
    found: set[int] = set()
    stack = [future]
    while stack:
        node = stack.pop()
        found.update(getattr(node, name))
        stack += node.nested_futures
    return json.dumps(sorted(found))


def _future_json(details: bytes | None, name: str) -> str | None:
    future = _future(details, name)
    return None if future is None else json.dumps(_tree(future), separators=(",", ":"))


def _tree(future: Future) -> dict[str, Any]:
    children: list[Any] = [{"CompletionId": index} for index in future.waiting_completions]
    children += [{"SignalIndex": index} for index in future.waiting_signals]
    children += [{"SignalName": name} for name in future.waiting_named_signals]
    children += [_tree(child) for child in future.nested_futures]
    return {_COMBINATORS.get(future.combinator_type, "Unknown"): children}


def _array_contains(array: str | None, value: object) -> int | None:
    if array is None:
        return None
    if len(array) > _MOST_ARRAY:
        raise ValueError("an array is too long")
    return int(value in json.loads(array))


def _starts_with(text: str | None, prefix: str | None) -> int | None:
    return None if text is None or prefix is None else int(text.startswith(prefix))


def _char_length(text: str | None) -> int | None:
    return None if text is None else len(text)


def _strpos(text: str | None, part: str | None) -> int | None:
    return None if text is None or part is None else text.find(part) + 1


def _concat(*values: object) -> str:
    return "".join(str(value) for value in values if value is not None)


INTERNAL: Final[Mapping[str, tuple[int, Callable[..., SqlValue]]]] = MappingProxyType(
    {
        "awaited_completions": (1, _awaited_completions),
        "awaited_signals": (1, _awaited_signals),
        "endpoint_of": (1, _endpoint_of),
        "entry_json": (2, entry_json),
        "entry_lite_json": (2, entry_lite_json),
        "entry_name": (2, entry_name),
        "entry_type": (1, entry_type),
        "failure_field": (2, _failure_field),
        "failure_text": (1, _failure_text),
        "future_json": (2, _future_json),
        "iso_duration": (1, _iso_duration),
        "iso_time": (1, _iso_time),
        "json_field": (2, _json_field),
        "service_of_target": (1, _service_of_target),
        "utf8": (1, _utf8),
    }
)
"""What only the views may call: name → number of arguments, function."""

INTERNAL_NAMES: Final = frozenset(INTERNAL) | {"json_group_array"}
"""The same with what SQLite brings."""

_OFFERED: Final[Mapping[str, tuple[int, Callable[..., SqlValue]]]] = MappingProxyType(
    {
        "array_contains": (2, _array_contains),
        "array_has": (2, _array_contains),
        "char_length": (1, _char_length),
        "concat": (-1, _concat),
        "starts_with": (2, _starts_with),
        "strpos": (2, _strpos),
    }
)
"""What Restate's SQL has and SQLite has not."""

ALLOWED: Final = frozenset(_BUILT_IN.split()) | frozenset(_OFFERED) | {"now"}
"""What queries may call."""


def add_functions(connection: sqlite3.Connection, now_ms: int) -> None:
    """Add ours to a connection; `now()` stands still at `now_ms` during a query."""
    for name, (arguments, function) in chain(INTERNAL.items(), _OFFERED.items()):
        connection.create_function(name, arguments, function, deterministic=True)
    for (name, arguments), function in TEXTS.items():
        connection.create_function(name, arguments, function, deterministic=True)
    now = rfc_3339_millis(now_ms)
    connection.create_function("now", 0, lambda: now, deterministic=True)
