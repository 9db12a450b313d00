"""Request identity agrees with the verifier of restate-sdk wherever a runtime's requests are concerned."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import pytest

from durably.errors import IdentityError
from durably.protocol.identity import SCHEME_HEADER, TOKEN_HEADER, RequestIdentity
from tests.protocol.signing import ROUTE, Signer, claims, json_part

SIGNER = Signer("ours")
OTHER = Signer("other")
PEER: Any = import_module("restate._internal")


def verdicts(
    payload: dict[str, Any], path: str, *, signer: Signer = SIGNER, scheme: str | None = "v1", now: float, **header: Any
) -> tuple[bool, bool]:
    """Ask our verifier and the other one about the same request."""
    sent = [(TOKEN_HEADER, signer.token(payload, **header))]
    if scheme is not None:
        sent.append((SCHEME_HEADER, scheme))
    try:
        RequestIdentity([OTHER.key, SIGNER.key]).verify(sent, path, now=now)
        ours = True
    except IdentityError:
        ours = False
    try:
        PEER.PyIdentityVerifier([OTHER.key, SIGNER.key]).verify(sent, path)
        theirs = True
    except PEER.IdentityVerificationException:
        theirs = False
    return ours, theirs


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, True),
        ({"signer": OTHER}, True),
        ({"path": "/mounted/here/invoke/Cart/add"}, True),
        ({"path": "/mounted/discover", "aud": "/discover"}, True),
        ({"kid": "anything"}, True),
        ({"sub": "key"}, True),
        ({"scheme": None}, False),
        ({"scheme": "v2"}, False),
        ({"scheme": "unsigned"}, False),
        ({"signer": Signer("stranger")}, False),
        ({"alg": "HS256"}, False),
        ({"alg": "none"}, False),
        ({"aud": "/invoke/Cart/remove"}, False),
        ({"aud": "/discover"}, False),
        ({"path": "/discover"}, False),
        ({"path": "/invoke/Cart/add/"}, False),
        ({"path": "/INVOKE/Cart/add"}, False),
        ({"path": "/invoke/Cart%2fadd"}, False),
        ({"aud": None}, False),
        ({"exp": None}, False),
        ({"nbf": None}, False),
        ({"exp": -5}, False),
        ({"nbf": 30}, False),
        ({"exp": "soon"}, False),
    ],
)
def test_both_verifiers_agree(case: dict[str, Any], expected: bool):
    """Signed, unsigned and misused requests get the same verdict; times are given relative to now."""
    now = time.time()
    options = {name: case[name] for name in case.keys() & {"signer", "scheme", "alg", "kid"}}
    changes = {name: case[name] for name in case.keys() & {"aud", "exp", "iat", "nbf", "sub"}}
    for name in ("exp", "nbf"):
        if isinstance(changes.get(name), int):
            changes[name] += int(now)
    payload = claims(now, **changes)
    assert verdicts(payload, case.get("path", ROUTE), now=now, **options) == (expected, expected)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"aud": [ROUTE]}, ROUTE),
        ({"aud": "/elsewhere"}, "/elsewhere"),
        ({"exp": 2**62}, ROUTE),
        ({"iat": 2**62}, ROUTE),
        ({"iat": "text"}, ROUTE),
        ({"iat": None}, ROUTE),
    ],
)
def test_ours_is_stricter_where_no_runtime_goes(changes: dict[str, Any], path: str):
    """What only the other verifier accepts: lists of routes, paths that are none, missing or absurd times."""
    now = time.time()
    assert verdicts(claims(now, **changes), path, now=now) == (False, True)


def test_both_refuse_a_token_without_a_real_signature():
    """A stub in the place of the signature is refused by both."""
    now = time.time()
    sent = [(SCHEME_HEADER, "v1"), (TOKEN_HEADER, f"{json_part({'alg': 'EdDSA'})}.{json_part(claims(now))}.AA")]
    with pytest.raises(IdentityError):
        RequestIdentity([SIGNER.key]).verify(sent, ROUTE, now=now)
    with pytest.raises(PEER.IdentityVerificationException):
        PEER.PyIdentityVerifier([SIGNER.key]).verify(sent, ROUTE)
