"""Identifiers: the known vectors, round trips, and one text form each."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.protocol.ids import (
    FIRST_SIGNAL_INDEX,
    InvocationId,
    awakeable_id,
    deployment_id,
    idempotent_uuid,
    parse_awakeable_id,
    parse_deployment_id,
    workflow_uuid,
)

VECTORS = [
    (0x493C42ED1C3CF1BC, 0x018E5257B998007DB7F4F3F47E809584, "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"),
    (0x0123456789ABCDEF, 0x0189ABCDEF000102030405060708090A, "inv_1kAt0t9pq7gB0iW38yarcLjVGPVOCtDuI9"),
]
U64 = st.integers(0, 2**64 - 1)
U128 = st.integers(0, 2**128 - 1)


@pytest.mark.parametrize(("partition_key", "uuid", "text"), VECTORS)
def test_the_protocol_documents_vectors(partition_key: int, uuid: int, text: str):
    """The text form agrees with what runtimes write."""
    assert InvocationId(partition_key, uuid).encode() == text
    assert InvocationId.decode(text) == InvocationId(partition_key, uuid)


@given(partition_key=U64, uuid=U128)
def test_an_invocation_id_survives_text_and_bytes(partition_key: int, uuid: int):
    """Both forms have their fixed length and give the same id back."""
    invocation = InvocationId(partition_key, uuid)
    assert InvocationId.decode(invocation.encode()) == invocation
    assert InvocationId.from_raw(invocation.raw) == invocation
    assert (len(invocation.encode()), len(invocation.raw)) == (38, 24)


def test_the_raw_form_is_big_endian():
    """`Start.id` is the partition key, then the uuid, most significant byte first."""
    assert InvocationId(1, 2).raw == bytes(7) + b"\x01" + bytes(15) + b"\x02"


@pytest.mark.parametrize(("partition_key", "uuid"), [(-1, 0), (0, -1), (2**64, 0), (0, 2**128)])
def test_numbers_too_wide_are_refused(partition_key: int, uuid: int):
    """An id cannot be made of numbers that have no encoding."""
    with pytest.raises(ValueError, match="64 bits"):
        InvocationId(partition_key, uuid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inv_1",
        "inv_2gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz",
        "INV_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz",
        "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hb",
        "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz0",
        "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hb-",
        "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hb٣",
        " inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz",
        "inv_1" + "Z" * 33,
        "dp_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz",
    ],
)
def test_a_malformed_invocation_id_is_refused(text: str):
    """Wrong prefix, version, length, alphabet or range never parses to some other id."""
    with pytest.raises(ValueError, match="id"):
        InvocationId.decode(text)


@pytest.mark.parametrize("length", [0, 23, 25])
def test_raw_ids_have_one_length(length: int):
    """Bytes of any other length are no invocation id."""
    with pytest.raises(ValueError, match="24 bytes"):
        InvocationId.from_raw(bytes(length))


@given(ulid=U128)
def test_a_deployment_id_survives_its_text(ulid: int):
    """Deployments use the same digits with one number."""
    assert parse_deployment_id(deployment_id(ulid)) == ulid
    assert len(deployment_id(ulid)) == 26


@pytest.mark.parametrize("text", ["", "dp_1", "dp_1" + "Z" * 22, "dp_1" + "0" * 21, "inv_1" + "0" * 22])
def test_a_malformed_deployment_id_is_refused(text: str):
    """Wrong prefix, length or range is an error."""
    with pytest.raises(ValueError, match=r"id"):
        parse_deployment_id(text)


def test_the_awakeable_vectors():
    """Awakeable ids agree with what runtimes and other SDKs write."""
    raw = InvocationId.decode(VECTORS[0][2]).raw
    text = "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"
    assert awakeable_id(raw, 17) == text
    assert parse_awakeable_id(text) == (raw, 17)
    other = "sign_1PrDkbECjgdsBmMfEUQyCnioCP-csLbd2AAAAEQ"
    start_id, index = parse_awakeable_id(other)
    assert (len(start_id), index, awakeable_id(start_id, index)) == (24, FIRST_SIGNAL_INDEX, other)


def test_old_awakeable_ids_are_read():
    """The form of earlier protocol versions has the same layout."""
    assert parse_awakeable_id("prom_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ")[1] == 17


@given(start_id=st.binary(min_size=1, max_size=40), index=st.integers(0, 2**32 - 1))
def test_an_awakeable_id_survives_its_text(start_id: bytes, index: int):
    """Ids of any length, with every index, come back; the text is safe in a URL."""
    text = awakeable_id(start_id, index)
    assert parse_awakeable_id(text) == (start_id, index)
    assert text.replace("-", "_").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sign_1",
        "sign_2AAAAEQAAAAA",
        "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz",
        "sign_1AAAAEQ",
        "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ=",
        "sign_1STxC7Rw88bwBjlJXuZgAfbf08/R+gJWEAAAAEQ",
        "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAER",
        "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAE",
        "sign_1é" + "A" * 10,
        "sign_1" + "A" * 10 + "\n",
    ],
)
def test_a_malformed_awakeable_id_is_refused(text: str):
    """Padding, the other alphabet, stray bits and missing bytes are errors, so one awakeable has one id."""
    with pytest.raises(ValueError, match="awakeable id"):
        parse_awakeable_id(text)


def first_half_of_sha256(text: bytes) -> int:
    """Compute the expected derivation the long way."""
    return int.from_bytes(hashlib.sha256(text).digest()[:16], "big")


def test_workflow_uuids_are_derived_from_service_and_key():
    """Fields are joined by commas after the kind; a scope comes first."""
    assert workflow_uuid("Signup", "ada") == first_half_of_sha256(b"wf,Signup,ada")
    assert workflow_uuid("Signup", "ada", scope="eu") == first_half_of_sha256(b"wf,eu,Signup,ada")


def test_idempotent_uuids_are_derived_from_target_and_key():
    """The object's key and the scope take part where there are some."""
    assert idempotent_uuid("Mail", "send", "k1") == first_half_of_sha256(b"ik,Mail,send,k1")
    assert idempotent_uuid("Cart", "add", "k1", key="ä", scope="eu") == first_half_of_sha256(
        "ik,eu,Cart,ä,add,k1".encode()
    )
