"""Tables in memory against a plain list: what is found, in which order, and after undoing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durably.engine.store.tables import Index, Table, UndoLog

Row = tuple[int, str | None, int]
rows = st.tuples(st.integers(0, 5), st.sampled_from([None, "a", "b"]), st.integers(0, 3))
steps = st.lists(st.tuples(st.sampled_from(["put", "delete", "delete_group", "mark", "undo"]), rows), max_size=40)


@given(steps)
def test_a_table_is_a_sorted_list(steps: list[tuple[str, Row]]):
    """After any steps, each group holds its rows in order, and undoing to a mark gives back what was there."""
    log = UndoLog()
    table = Table[int, Row](log, lambda row: row[0], group=Index(lambda row: row[1], lambda row: (row[2], row[0])))
    model: dict[int, Row] = {}
    marked, mark = dict(model), 0
    for step, row in steps:
        if step == "put":
            table.put(row)
            model[row[0]] = row
        elif step == "delete":
            table.delete(row[0])
            model.pop(row[0], None)
        elif step == "delete_group" and row[1] is not None:
            table.delete_group("group", row[1])
            model = {key: found for key, found in model.items() if found[1] != row[1]}
        elif step == "mark":
            marked, mark = dict(model), len(log)
        elif step == "undo":
            log.undo(mark)
            model = dict(marked)
        assert {found[0]: found for found in table} == model
        for group in ("a", "b"):
            ordered = sorted(
                (found for found in model.values() if found[1] == group), key=lambda found: (found[2], found[0])
            )
            assert list(table.find("group", group)) == ordered
            assert table.first("group", group) == (ordered[0] if ordered else None)
        assert table.get(row[0]) == model.get(row[0])
    log.clear()
    assert len(log) == 0
