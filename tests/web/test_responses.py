"""Responses travel through the journal, and data that looks like one stays data."""

from __future__ import annotations

import pytest

from durably.web.responses import CarriedResponse, as_data, plain_json, read_response


@pytest.mark.parametrize("body", [b"", b"text", "\u00e4".encode(), b"\xff\x00\xfe"])
def test_a_response_comes_back(body: bytes):
    """Status, headers in their order and any bytes survive."""
    carried = CarriedResponse(201, (("content-type", "text/plain"), ("set-x", "1"), ("set-x", "2")), body)
    assert read_response(carried.to_json()) == carried


def test_data_is_no_response():
    """Plain JSON is given as it is, and so is a value that begins as a carried response does."""
    assert read_response(b'{"a":1}') is None
    assert plain_json(as_data(b'{"a":1}')) == b'{"a":1}'
    alike = CarriedResponse(200, (), b"x").to_json()
    written = as_data(alike)
    assert read_response(written) is None
    assert plain_json(written) == alike
