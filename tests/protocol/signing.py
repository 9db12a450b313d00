"""Signs requests as a runtime does, and as an attacker would like to."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import base58
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from durably.protocol.identity import KEY_PREFIX, SCHEME_HEADER, TOKEN_HEADER

NOW = 1_760_000_000
ROUTE = "/invoke/Cart/add"


def base64url(content: bytes) -> str:
    """Write bytes as a token's part."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def json_part(value: Any) -> str:
    """Write an object as a token's part."""
    return base64url(json.dumps(value).encode())


def claims(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """Give the claims that a runtime makes; a change to None leaves the claim out."""
    base: dict[str, Any] = {"aud": ROUTE, "exp": int(now) + 60, "iat": int(now), "nbf": int(now) - 60, **changes}
    return {name: value for name, value in base.items() if value is not None}


def headers(token: str, scheme: str = "v1") -> list[tuple[str, str]]:
    """Give the headers of a signed request."""
    return [("content-type", "x"), (SCHEME_HEADER, scheme), (TOKEN_HEADER, token)]


@dataclass(frozen=True)
class Signer:
    """A runtime's key pair, the same for the same name in every run."""

    name: str

    @property
    def private(self) -> Ed25519PrivateKey:
        """The private key."""
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.name.encode()).digest())

    @property
    def raw_key(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key(self) -> str:
        """The public key as a runtime prints it."""
        return KEY_PREFIX + base58.b58encode(self.raw_key).decode()

    def sign(self, signing_input: str) -> str:
        """Append the signature to two parts of a token."""
        return f"{signing_input}.{base64url(self.private.sign(signing_input.encode()))}"

    def token(self, payload: dict[str, Any] | None = None, **header: Any) -> str:
        """Make a token as a runtime does; `header` adds to its header or changes it."""
        full = {"typ": "JWT", "alg": "EdDSA", "kid": self.key, **header}
        return self.sign(f"{json_part(full)}.{json_part(claims() if payload is None else payload)}")
