"""Idempotency keys: whose they are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.web.scoping import generated_key, random_workflow_key, scoped_key
from durably.web.tokens import GENERATED_KEY

identities = st.none() | st.binary(max_size=12)
keys = st.text(min_size=1, max_size=12) | st.text(alphabet="durably-_own:key", min_size=1)


def test_a_plain_key_stays_as_it_is() -> None:
    """Operators find it, and other clients can use it."""
    assert scoped_key("order-1", None) == "order-1"


@pytest.mark.parametrize("key", ["é", "a b", "x" * 201, "durably-run_x", "Durably-own_x", "\ud800", "a\r\nb"])
def test_what_cannot_be_a_header_or_is_ours_is_digested(key: str) -> None:
    """What the runtime sees is short ASCII, and never a key that is made here."""
    scoped = scoped_key(key, None)
    assert re.fullmatch(r"durably-key_[0-9a-f]{64}", scoped)


@given(keys, identities, keys, identities)
def test_callers_never_meet(one: str, its: bytes | None, other: str, others: bytes | None) -> None:
    """Two scoped keys are equal only for the same caller and the same key."""
    same = (one, its) == (other, others)
    assert (scoped_key(one, its) == scoped_key(other, others)) is same
    assert not scoped_key(one, its).startswith(GENERATED_KEY)
    assert re.fullmatch(r"[!-~]{1,200}", scoped_key(one, its))


def test_a_caller_who_is_told_apart_has_another_key_than_one_who_is_not() -> None:
    """An empty identity is one, too; and identity and key do not run into each other."""
    assert len({scoped_key("k", None), scoped_key("k", b""), scoped_key("k", b"k"), scoped_key("kk", b"")}) == 4


def test_made_keys_are_random() -> None:
    """192 and 128 bits, in characters that need no encoding."""
    made = {generated_key() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"durably-run_[A-Za-z0-9_-]{32}", each) for each in made)
    assert re.fullmatch(r"[0-9a-f]{32}", random_workflow_key())
