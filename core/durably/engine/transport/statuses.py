"""What the head of a response means for an attempt.

Owns the table of status codes and the two forms of `retry-after`. None of these failures is terminal; all feed the
retry policy. The text shows the status and never what the service wrote, which anyone may read in the admin API.

| head | failure |
|---|---|
| 2xx with the request's content type | none |
| 2xx with another | RT0012 |
| 429, 503 | RT0023, with `retry-after` |
| 502, 504 | RT0010 |
| 413 | RT0019 |
| 415 | RT0015, does not count |
| other | RT0012 |

Source: service protocol, "How the server interprets the invoke response status".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from durably.engine.transport.contract import FailureKind, ResponseHead, TransportError

__all__ = ["failure_of_head", "retry_after_ms"]

_LONGEST_RETRY_AFTER_MS: Final = 24 * 3600 * 1000  # a service that asks for more is asked again after a day

_HINTS: Final = {
    401: "The service checks signatures: give it the key of this engine, or none.",
    404: "Was the service registered again after its handlers changed?",
    413: "Raise the body limit of the web server in front of the service.",
    415: "The service does not speak the protocol version that it registered with: register it again.",
}


def failure_of_head(
    head: ResponseHead, expected_type: str, *, now: Callable[[], float] = time.time
) -> TransportError | None:
    """Tell what is wrong with a response, or None when its body can be read.

    Args:
        head: The response's.
        expected_type: The request's `content-type`, compared exactly.
        now: Seconds since the epoch, for a `retry-after` that is a date.
    """
    status = head.status
    if 200 <= status < 300:
        content_type = head.header("content-type")
        if content_type == expected_type:
            return None
        return TransportError(
            f"The service answered with content-type {_shown(content_type)} instead of {expected_type!r}.",
            kind=FailureKind.VIOLATION,
            code=500,
            hint="It must be exactly the same text; does a proxy or a middleware change it?",
        )
    retry_after = None
    match status:
        case 429 | 503:
            kind = FailureKind.BUSY
            retry_after = retry_after_ms(head.header("retry-after"), now())
        case 502 | 504:
            kind = FailureKind.UNAVAILABLE
        case 413:
            kind = FailureKind.TOO_LARGE
        case 415:
            kind = FailureKind.WRONG_VERSION
        case _:
            kind = FailureKind.VIOLATION
    return TransportError(
        f"The service answered with HTTP status {status}.",
        kind=kind,
        code=status,
        retry_after_ms=retry_after,
        hint=_HINTS.get(status),
    )


def retry_after_ms(value: str | None, now_s: float) -> int | None:
    """Read a `retry-after`: integer seconds or a date; None when it is absent or neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        delay_ms = int(value[:12]) * 1000
    else:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        delay_ms = max(0, round((date.timestamp() - now_s) * 1000))
    return min(delay_ms, _LONGEST_RETRY_AFTER_MS)


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(value[:100])
