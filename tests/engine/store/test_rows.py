"""How records stand in columns."""

from __future__ import annotations

import pytest

from durably.engine.records import Failure, InboxItem, StateEdit
from durably.engine.store.rows import (
    edit_of,
    fixed_columns,
    inbox_item_of,
    invocation_of,
    progress_columns,
    result_columns,
    result_of,
    text_of_edit,
)
from tests.engine.store.samples import advance, invocation


@pytest.mark.parametrize("number", range(30))
def test_an_invocation_survives_its_row(number: int):
    """Every field comes back, whatever is set and whatever is not."""
    row = invocation(parent_id="inv_p" if number % 2 else None, seed=2**64 - 1 - number)
    advance(row, number)
    assert invocation_of(fixed_columns(row) + progress_columns(row)) == row


@pytest.mark.parametrize("number", range(30))
def test_what_is_written_often_is_cheap_to_bind(number: int):
    """The columns of each update are exact ints and strs: others cost the driver a microsecond apiece."""
    row = invocation()
    advance(row, number)
    assert {type(value) for value in progress_columns(row)} <= {int, str}


@pytest.mark.parametrize("result", [b"", b"\0", None, Failure(1, ""), Failure(65535, "✓", (("a", "1"), ("a", "")))])
def test_a_result_survives_its_row(result: bytes | Failure | None):
    """Values, failures with their metadata in order, and nothing are told apart."""
    assert result_of(*result_columns(result)) == result


@pytest.mark.parametrize("edit", [None, StateEdit({}), StateEdit({b"": b"", b"\xff": b"1"}, "v")])
def test_an_edit_survives_its_row(edit: StateEdit | None):
    """Names and values of any bytes, and the version, come back."""
    assert edit_of(text_of_edit(edit)) == edit
    assert inbox_item_of((3, "S", "k", "inv", text_of_edit(edit), 9)) == InboxItem(3, "S", "k", "inv", edit, 9)
