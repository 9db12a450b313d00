"""Values of a route, as JSON.

Owns the types that Django's path converters give, and their way through the journal. A converter of one's own may give
any of these; for another type the view has to take text.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from durably.errors import UsageError

__all__ = ["from_json", "to_json"]

_MARK: Final = "durably:type"

_TYPES: Final[Mapping[type[Any], tuple[str, Callable[[Any], str], Callable[[str], Any]]]] = {
    uuid.UUID: ("uuid", str, uuid.UUID),
    decimal.Decimal: ("decimal", str, decimal.Decimal),
    datetime.datetime: ("datetime", datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    datetime.date: ("date", datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: ("time", datetime.time.isoformat, datetime.time.fromisoformat),
}
_READERS: Final = {name: read for name, _, read in _TYPES.values()}


def to_json(value: Any) -> Any:
    """Give the JSON form of a value.

    Raises:
        UsageError: It has none.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    found = _TYPES.get(value.__class__)
    if found is None:
        raise UsageError(
            f"A value of the route is a {type(value).__name__}, which cannot be stored.",
            hint="Let the path converter give text or a number, and look the object up in the view.",
        )
    name, write, _ = found
    return {_MARK: name, "value": write(value)}


def from_json(content: Any) -> Any:
    """Give the value that `to_json` wrote.

    Raises:
        ValueError: It did not write this.
    """
    if not isinstance(content, dict):
        return content
    marked = cast("dict[str, Any]", content)
    read = _READERS.get(marked.get(_MARK, ""))
    if read is None:
        raise ValueError("unknown type of a value")
    return read(marked["value"])
