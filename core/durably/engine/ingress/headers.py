"""Which headers of a request a handler gets to see.

Owns the limits on headers and the list of those that are held back. What a handler gets stands in its journal for as
long as that is kept; so credentials and what concerns one connection only are left out, unless an option names them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from durably.engine.ingress.refusals import RefusedError
from durably.engine.records import Headers, Limits

__all__ = ["RequestHeaders", "check_size", "read_headers"]

INGRESS_PATH: Final = "x-restate-ingress-path"

# Of one connection (RFC 9110, 7.6.1), credentials, and what the ingress itself reads.
_HELD_BACK: Final = frozenset(
    (
        "authorization",
        "connection",
        "cookie",
        "host",
        "idempotency-expires",
        "idempotency-key",
        "keep-alive",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_HELD_BACK_PREFIXES: Final = ("proxy-", "x-restate-")
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """Headers of one request.

    Attributes:
        forwarded: What the handler gets.
        content_type: Value of that header, or None.
        content_length: The same as a number, or None.
        idempotency_key: None where there is none, or an empty one.
        limit_key: `x-restate-limit-key`, or None.
    """

    forwarded: Headers
    content_type: str | None
    content_length: int | None
    idempotency_key: str | None
    limit_key: str | None


def check_size(raw: list[tuple[bytes, bytes]], limits: Limits) -> None:
    """Check how many headers there are, and how large they are together.

    Raises:
        RefusedError: Too many, or too large.
    """
    if len(raw) > limits.header_count or sum(len(name) + len(value) for name, value in raw) > limits.header_bytes:
        raise RefusedError(431, "too many headers, or too large")


def read_headers(
    raw: list[tuple[bytes, bytes]], path: str, limits: Limits, pass_on: frozenset[str] = frozenset()
) -> RequestHeaders:
    """Check the headers and sort them.

    Args:
        raw: As the server gives them, names in lower case.
        path: Path and query as sent; the handler gets it first.
        limits: How much is accepted.
        pass_on: Headers that the handler gets though they are usually held back.

    Raises:
        RefusedError: There are too many, or one is malformed.
    """
    check_size(raw, limits)
    forwarded: list[tuple[str, str]] = [(INGRESS_PATH, path)]
    content_type = content_length = idempotency_key = limit_key = None
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "content-type":
            content_type = value
        elif name == "content-length":
            content_length = _length(value)
        elif name == "idempotency-key":
            if idempotency_key is not None:
                raise RefusedError(400, "idempotency-key is given twice")
            if len(raw_value) > limits.idempotency_key_bytes:
                raise RefusedError(400, f"idempotency-key is longer than {limits.idempotency_key_bytes} bytes")
            idempotency_key = value
        elif name == "x-restate-limit-key":
            limit_key = value
        if _VALUE.fullmatch(value) is None or _NAME.fullmatch(name) is None:
            raise RefusedError(400, f"bad header {name[:100]}: only visible ASCII characters are accepted")
        if name not in pass_on and (name in _HELD_BACK or name.startswith(_HELD_BACK_PREFIXES)):
            continue
        if name == "traceparent" and _TRACE_PARENT.fullmatch(value) is None:
            continue
        forwarded.append((name, value))
    return RequestHeaders(tuple(forwarded), content_type, content_length, idempotency_key or None, limit_key)


def _length(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise RefusedError(400, "bad content-length")
    return int(value)
