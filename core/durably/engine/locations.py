"""Where an engine keeps what it stores, as its url says.

memory://                 in memory; gone with the process
sqlite:///durably.db      a file, relative to the working directory
sqlite:////var/lib/d.db   a file, absolute
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from durably.errors import ConfigurationError

__all__ = ["StoreLocation", "read_url"]

_HINT: Final = "Give sqlite:///relative.db, sqlite:////absolute.db or memory://."


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """A place for a store.

    Attributes:
        path: Of the file; None for memory.
    """

    path: str | None


def read_url(url: str) -> StoreLocation:
    """Read an engine's url.

    Raises:
        ConfigurationError: It names no store.
    """
    parts = urlsplit(url)
    if url.rstrip("/") == "memory:" or url == "memory://":
        return StoreLocation(None)
    if parts.scheme in {"http", "https"}:
        raise ConfigurationError(
            f"{url!r} is the address of a server: the embedded engine needs a file.",
            hint="Use durably.create_client(url) for a Restate Server. " + _HINT,
        )
    if (
        parts.scheme != "sqlite"
        or not url.partition(":")[2].startswith("///")
        or parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ConfigurationError(f"{url!r} names no store.", hint=_HINT)
    path = unquote(parts.path[1:])
    if not path or path.endswith("/") or "\0" in path:
        raise ConfigurationError(f"{url!r} names no file.", hint=_HINT)
    return StoreLocation(path)
