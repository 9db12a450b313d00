"""Addresses of results: what is given out, and what is taken back."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.client.interfaces import IdempotentRequest
from durably.web.scoping import generated_key
from durably.web.tokens import GENERATED_KEY, ResultTokens, Target

INVOCATION = "inv_1ghRlFcn3Naf5oeOYnzvjVZDrUVNEvkbrX"
SIGNED = ResultTokens(b"s" * 32)
UNSIGNED = ResultTokens(None)


def signed() -> str:
    """Give a signed token."""
    token = SIGNED.make(INVOCATION, "my.Shop-1", "place_order", key=None, idempotency_key="guessable")
    assert token is not None
    return token


def test_a_signed_token_leads_to_the_invocation() -> None:
    """By its id, whatever its key."""
    assert SIGNED.read(signed()) == Target("my.Shop-1", "place_order", INVOCATION, INVOCATION)
    assert (SIGNED.are_signed, UNSIGNED.are_signed) == (True, False)


def test_a_token_is_one_segment_of_a_path() -> None:
    """Nothing in it needs encoding."""
    random = UNSIGNED.make(INVOCATION, "S", "h", key="a/b?ü", idempotency_key=generated_key())
    assert random is not None
    assert set(signed() + random) <= {*string.ascii_letters, *string.digits, *"-._~"}


@pytest.mark.parametrize("position", range(len(INVOCATION) + 70))
def test_no_character_can_be_changed(position: int) -> None:
    """Id, names and signature belong together."""
    token = signed()
    position %= len(token)
    for other in "AQx0":
        changed = token[:position] + other + token[position + 1 :]
        assert changed == token or SIGNED.read(changed) is None


def test_other_secrets_and_no_secret_do_not_count() -> None:
    """A token is read only with the secret that it was made with."""
    assert ResultTokens(b"t" * 32).read(signed()) is None
    assert UNSIGNED.read(signed()) is None


def test_the_last_character_has_one_form() -> None:
    """Base64 has spare bits at the end; no second token means the same."""
    token = signed()
    others = [token[:-1] + each for each in string.ascii_letters + string.digits + "-_" if each != token[-1]]
    assert [each for each in others if SIGNED.read(each)] == []


@pytest.mark.parametrize("key", [None, "a", "a/b?ü~", "k" * 1000])
def test_without_a_secret_a_random_key_is_the_secret(key: str | None) -> None:
    """The token holds the idempotency key, which nobody can guess."""
    idempotency_key = generated_key()
    token = UNSIGNED.make(INVOCATION, "Shop", "place", key=key, idempotency_key=idempotency_key)
    assert token is not None
    expected = IdempotentRequest("Shop", "place", idempotency_key, key)
    assert UNSIGNED.read(token) == Target("Shop", "place", INVOCATION, expected)


@pytest.mark.parametrize("idempotency_key", [None, "order-1", "durably-key_abc", "durably-own_abc"])
def test_without_a_secret_there_is_no_token_for_what_can_be_guessed(idempotency_key: str | None) -> None:
    """An id follows from a key that a caller chose; a workflow's from its own key."""
    assert UNSIGNED.make(INVOCATION, "Shop", "place", key=None, idempotency_key=idempotency_key) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "inv_",
        INVOCATION,
        f"{INVOCATION}~Shop~place",
        f"{INVOCATION}~Shop~place~",
        "run_short~Shop~place~" + INVOCATION,
        "run_" + "x" * 32 + "~Shop~place~inv_\r\nx: y",
        "run_" + "x" * 32 + f"~Shop~place~{INVOCATION}~",
        "run_" + "x" * 32 + f"~Shop~place~{INVOCATION}~_",
        "run_" + "x" * 32 + f"~Shop~place~{INVOCATION}~_____w",
        "run_" + "x" * 32 + f"~Sh/op~place~{INVOCATION}",
        "x" * 10000,
        "run_" + "é" * 32 + f"~Shop~place~{INVOCATION}",
        f"{signed()}\n",
    ],
)
def test_what_was_not_made_here(token: str) -> None:
    """It is unknown, with a secret and without."""
    assert SIGNED.read(token) is None
    assert UNSIGNED.read(token) is None


@given(st.text())
def test_nothing_is_refused_with_an_error(token: str) -> None:
    """Whatever comes in a path is a token or not."""
    assert SIGNED.read(token) is None
    assert UNSIGNED.read(token) is None
    assert UNSIGNED.read(f"run_{token}") is None


def test_generated_keys_cannot_be_chosen() -> None:
    """What is read from a token always begins as no caller's key does."""
    target = UNSIGNED.read("run_" + "x" * 32 + f"~Shop~place~{INVOCATION}")
    assert target is not None
    assert isinstance(target.invocation, IdempotentRequest)
    assert target.invocation.idempotency_key.startswith(GENERATED_KEY)
