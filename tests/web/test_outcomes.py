"""Outcomes: which status a failure has, and what an answer holds."""

from __future__ import annotations

import pytest

from durably.web.outcomes import Accepted, Failed, failed, not_found, unavailable


@pytest.mark.parametrize(
    ("code", "status"), [(400, 400), (402, 402), (599, 599), (399, 500), (600, 500), (0, 500), (200, 500), (65535, 500)]
)
def test_only_statuses_of_errors_go_out(code: int, status: int) -> None:
    """Any other number of a handler would be a success, or nothing that a client knows."""
    outcome = failed(code, "no", {"a": "b"}, "inv_1", None)
    assert (outcome.status, outcome.message, outcome.metadata, outcome.is_of_handler) == (
        status,
        "no",
        {"a": "b"},
        True,
    )
    assert outcome.headers == {"x-durably-invocation-id": "inv_1"}
    assert failed(code, "no", {}, None, None).headers == {}


def test_the_body_of_a_202() -> None:
    """The id and the state."""
    assert Accepted("inv_1", None).content == {"invocation_id": "inv_1", "status": "accepted"}


def test_what_is_no_failure_of_a_handler() -> None:
    """A runtime that is away, and a result that is not there."""
    assert unavailable().headers["retry-after"] == "1"
    assert (unavailable().status, not_found().status) == (503, 404)
    assert not_found() == not_found() == Failed(404, "There is no such result.")
    assert not unavailable().is_of_handler
