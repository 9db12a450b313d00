"""What a head means for an attempt."""

from __future__ import annotations

import pytest

from durably.engine.transport.contract import FailureKind, ResponseHead
from durably.engine.transport.statuses import failure_of_head, retry_after_ms

TYPE = "application/vnd.restate.invocation.v6"


@pytest.mark.parametrize(
    ("status", "kind", "counts"),
    [
        (429, FailureKind.BUSY, True),
        (503, FailureKind.BUSY, True),
        (502, FailureKind.UNAVAILABLE, True),
        (504, FailureKind.UNAVAILABLE, True),
        (413, FailureKind.TOO_LARGE, True),
        (415, FailureKind.WRONG_VERSION, False),
        (401, FailureKind.VIOLATION, True),
        (404, FailureKind.VIOLATION, True),
        (500, FailureKind.VIOLATION, True),
        (301, FailureKind.VIOLATION, True),
        (0, FailureKind.VIOLATION, True),
    ],
)
def test_statuses_have_their_failures(status: int, kind: FailureKind, counts: bool):
    """Each status of the table has its documentation code, and only 415 does not count."""
    failure = failure_of_head(ResponseHead(status, (("retry-after", "7"), ("location", "http://elsewhere"))), TYPE)
    assert failure is not None
    assert (failure.kind, failure.code, failure.counts) == (kind, status, counts)
    assert failure.retry_after_ms == (7000 if kind is FailureKind.BUSY else None)
    assert str(status) in failure.message
    assert "elsewhere" not in str(failure)


@pytest.mark.parametrize("content_type", [None, f"{TYPE}; charset=utf-8", TYPE.upper(), TYPE[:-1] + "5", ""])
def test_the_content_type_is_compared_exactly(content_type: str | None):
    """A parameter, another case and another version each break the protocol."""
    headers = () if content_type is None else (("content-type", content_type),)
    failure = failure_of_head(ResponseHead(200, headers), TYPE)
    assert failure is not None
    assert failure.kind is FailureKind.VIOLATION
    assert failure_of_head(ResponseHead(202, (("content-type", TYPE),)), TYPE) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0),
        (" 12 ", 12000),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10000),
        ("Thu, 01 Jan 1970 00:16:50 -0000", 10000),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 400, 24 * 3600 * 1000),
    ],
)
def test_retry_after_has_two_forms(value: str | None, expected: int | None):
    """Seconds and dates are read, the past is now, nonsense is nothing, and a day is the most."""
    assert retry_after_ms(value, 1000.0) == expected
