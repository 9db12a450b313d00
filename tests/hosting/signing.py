"""A runtime with a signing key, as endpoints know it by its public key."""

from __future__ import annotations

from typing import Any

import base58
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Signer:
    """Signs requests.

    Attributes:
        key: The public key, as an endpoint is configured with it.
    """

    def __init__(self, now: float) -> None:
        """Make a key; tokens are made at `now`, in seconds since the epoch, unless told otherwise."""
        self._now = now
        self._private = Ed25519PrivateKey.generate()
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = "publickeyv1_" + base58.b58encode(raw).decode()

    def headers(self, path: str, *, at: float | None = None, **changes: Any) -> list[tuple[str, str]]:
        """Sign a request to `path` at that time."""
        issued = int(self._now if at is None else at)
        claims = {"aud": path, "iat": issued, "nbf": issued - 60, "exp": issued + 60, **changes}
        token = jwt.encode(claims, self._private, algorithm="EdDSA", headers={"kid": self.key})
        return [("x-restate-signature-scheme", "v1"), ("x-restate-jwt-v1", token)]
