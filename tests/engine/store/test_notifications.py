"""What the writer remembers of a journal's notifications."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durably.engine.records import Handle
from durably.engine.store.notifications import Notifications

handles = st.sampled_from([1, 2, 3, 40, 2**31, -1, -17, "", "1", "name"])


@given(st.lists(st.tuples(handles, st.booleans(), st.integers(1, 9))), st.integers(0, 60))
def test_it_tells_what_a_look_at_the_journal_would(journal: list[tuple[Handle, bool, int]], start: int):
    """For every handle the first notification from an index on counts, whatever kind of handle and however often."""
    kept, expected, index = Notifications(), dict[Handle, bool](), 0
    for handle, failed, gap in journal:
        index += gap
        kept.add(index, handle, int(failed))
        if index >= start:
            expected.setdefault(handle, failed)
    asked = {handle for handle, _, _ in journal} | {4, "other", -5, 0}
    assert kept.find(asked, start) == expected


def test_completions_cost_little():
    """Ten thousand steps are remembered in tens of kilobytes, because services number without gaps."""
    kept = Notifications()
    for number in range(1, 10_001):
        kept.add(number * 2, number, 0)
    assert len(kept) < 10_100


def test_a_wild_number_costs_no_more():
    """A service that makes up numbers of completions does not make the list long."""
    kept = Notifications()
    for number in range(1, 21):
        kept.add(number, 2**30 + number, 0)
    assert len(kept) <= 20 * 50
    assert kept.find([2**30 + 7], 0) == {2**30 + 7: False}
