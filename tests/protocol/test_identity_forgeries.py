"""Forged tokens: algorithms, encodings, structure and signatures that must not pass."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm

from durably.errors import IdentityError
from durably.protocol.identity import RequestIdentity
from tests.protocol.signing import NOW, ROUTE, Signer, base64url, claims, headers, json_part

SIGNER = Signer("ours")
IDENTITY = RequestIdentity([SIGNER.key])
GOOD = SIGNER.token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def accepts(token: str) -> bool:
    """Tell whether a request with this token is accepted; anything but an `IdentityError` escapes."""
    try:
        IDENTITY.verify(headers(token), ROUTE, now=NOW)
    except IdentityError:
        return False
    return True


def test_the_unforged_token_is_good():
    """The forgeries below start from a token that passes."""
    assert accepts(GOOD)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 0, False, [], ["EdDSA"], {}], ids=repr)
@pytest.mark.parametrize("signature", ["", "AA", SIGNATURE])
def test_no_algorithm_is_no_signature(algorithm: Any, signature: str):
    """`none` in any spelling is refused, with an empty, a wrong and an old signature."""
    assert not accepts(f"{json_part({'typ': 'JWT', 'alg': algorithm})}.{PAYLOAD}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "eddsa", "EDDSA", "EdDSA ", "Ed25519", "Ed448", ""])
def test_a_good_signature_under_another_algorithms_name_is_refused(algorithm: str):
    """The name must be EdDSA even where the signature would verify."""
    assert not accepts(SIGNER.token(alg=algorithm))


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("secret", [SIGNER.raw_key, SIGNER.key.encode(), SIGNER.key[12:].encode(), b""])
def test_the_public_key_is_no_shared_secret(digest: str, secret: bytes):
    """A token keyed with the public key, which everyone knows, is refused for all three HMACs."""
    name = {"sha256": "HS256", "sha384": "HS384", "sha512": "HS512"}[digest]
    signing_input = f"{json_part({'typ': 'JWT', 'alg': name})}.{PAYLOAD}"
    mac = hmac.new(secret, signing_input.encode(), digest).digest()
    assert not accepts(f"{signing_input}.{base64url(mac)}")
    relabelled = f"{json_part({'typ': 'JWT', 'alg': 'EdDSA'})}.{PAYLOAD}"
    mac = hmac.new(secret, relabelled.encode(), hashlib.sha512).digest()
    assert not accepts(f"{relabelled}.{base64url(mac)}")


def test_a_key_in_the_token_is_not_used():
    """An elliptic curve signature with its own key enclosed is refused."""
    private = ec.generate_private_key(ec.SECP256R1())
    enclosed: Any = json.loads(ECAlgorithm.to_jwk(private.public_key()))
    signing_input = f"{json_part({'alg': 'ES256', 'jwk': enclosed})}.{PAYLOAD}"
    r, s = decode_dss_signature(private.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
    assert not accepts(f"{signing_input}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}")


@pytest.mark.parametrize("extra", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}])
def test_critical_extensions_are_refused(extra: dict[str, Any]):
    """A token that asks for rules we do not know is refused though its signature is good."""
    assert not accepts(SIGNER.token(**extra))


@pytest.mark.parametrize("place", range(64))
def test_every_bit_of_the_signature_counts(place: int):
    """Each of the eight bits of each byte of the signature, flipped alone, makes the token bad."""
    signature = base64.urlsafe_b64decode(SIGNATURE + "==")
    assert len(signature) == 64
    for bit in range(8):
        flipped = bytearray(signature)
        flipped[place] ^= 1 << bit
        assert not accepts(f"{HEADER}.{PAYLOAD}.{base64url(bytes(flipped))}")


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64),
        b"\xff" * 64,
        b"\x01" + bytes(63),
        bytes(32),
        bytes(63),
        bytes(65),
        base64.urlsafe_b64decode(SIGNATURE + "==")[:63],
        base64.urlsafe_b64decode(SIGNATURE + "==") + b"\0",
    ],
)
def test_degenerate_signatures_are_refused(signature: bytes):
    """Zero, the neutral point and wrong lengths do not verify."""
    assert not accepts(f"{HEADER}.{PAYLOAD}.{base64url(signature)}")


def test_a_second_spelling_of_the_signature_is_refused():
    """The scalar plus the group's order is the same number to a careless verifier."""
    signature = base64.urlsafe_b64decode(SIGNATURE + "==")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not accepts(f"{HEADER}.{PAYLOAD}.{base64url(signature[:32] + scalar.to_bytes(32, 'little'))}")


def test_unused_bits_of_the_last_character_count():
    """The fifteen other last characters that stand for the same bytes are refused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [GOOD[:-1] + character for character in alphabet if character != GOOD[-1]]
    assert [spelling for spelling in spellings if accepts(spelling)] == []


@pytest.mark.parametrize(
    "token",
    [
        "..",
        ".",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        f"{HEADER}.{PAYLOAD}",
        f"{HEADER}.{PAYLOAD}.",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{HEADER}..{SIGNATURE}",
        f"{GOOD}.",
        f".{GOOD}",
        f"{GOOD}.{SIGNATURE}",
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        f"{GOOD}\n",
        f" {GOOD}",
        f"Bearer {GOOD}",
        f"{GOOD},{GOOD}",
        f"{HEADER}.{PAYLOAD}!.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:40]}\r\n{SIGNATURE[40:]}",
        f"{PAYLOAD}.{HEADER}.{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}AAAA",
        "é.é.é",
        "\0",
    ],
)
def test_a_token_has_one_spelling(token: str):
    """Missing, swapped and additional parts, padding, blanks and stray characters are refused."""
    assert not accepts(token)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"1",
        b'"EdDSA"',
        b"[]",
        b'[{"alg": "EdDSA"}]',
        b"{",
        b"\xff\xfe",
        b'{"alg": "EdDSA"} trailing',
        b'{"alg": ' + b"9" * 700 + b"}",
        b"[" * 700,
    ],
)
def test_a_header_that_is_no_object_is_refused(content: bytes):
    """Malformed, huge and deeply nested headers end in a refusal, signed or not."""
    assert not accepts(SIGNER.sign(f"{base64url(content)}.{PAYLOAD}"))


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 11_000, b'{"aud":' * 1500, b'{"exp": ' + b"9" * 6000 + b"}"],
)
def test_a_payload_that_is_no_object_is_refused(content: bytes):
    """The same holds for the payload, which is read only once its signature is known to be good."""
    assert not accepts(SIGNER.sign(f"{HEADER}.{base64url(content)}"))


def test_a_changed_payload_needs_a_new_signature():
    """Claims cannot be exchanged under an old signature."""
    assert not accepts(f"{HEADER}.{json_part(claims(exp=NOW + 61))}.{SIGNATURE}")
    assert not accepts(f"{json_part({'alg': 'EdDSA'})}.{PAYLOAD}.{SIGNATURE}")


def test_a_header_at_the_edge_of_the_parsers_depth_is_refused(monkeypatch: pytest.MonkeyPatch):
    """A verifier that runs out of stack refuses the token instead of failing the request."""

    def exhausted(*_: Any, **__: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(jwt.PyJWS, "decode", exhausted)
    assert not accepts(GOOD)


def test_refusals_say_nothing_about_the_token():
    """No part of a token or header reaches the text of an error, which may be logged."""
    for token in [GOOD[:-1] + "!", GOOD + "x", SIGNER.token(claims(aud="/invoke/Secret/canary"))]:
        with pytest.raises(IdentityError) as caught:
            IDENTITY.verify(headers(token), ROUTE, now=NOW)
        assert not any(part in str(caught.value) for part in ["canary", "Secret", HEADER, PAYLOAD])
        assert caught.value.__cause__ is None
