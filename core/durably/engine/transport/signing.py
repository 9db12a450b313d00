"""Signing requests to services, so that an endpoint can tell its engine from anybody else.

Owns the private key and the token of one request. The key is Ed25519, in a PEM file such as

    openssl genpkey -algorithm ed25519 -out identity.pem

writes it; the endpoint gets the public key as `identity_keys`. A token names the route and lives two minutes; it does
not cover the body, so it is no replacement for TLS.

Source: service protocol, "Request identity".
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from durably.errors import ConfigurationError, MissingExtraError
from durably.protocol.identity import KEY_PREFIX, SCHEME_HEADER, TOKEN_HEADER

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["SigningKey"]

_SIGNATURE: Final = frozenset((SCHEME_HEADER, TOKEN_HEADER))
_SCHEME: Final = "v1"
_ALGORITHM: Final = "EdDSA"
_LIFETIME_S: Final = 60
_CLOCK_DIFFERENCE_S: Final = 60  # how far the endpoint's clock may be behind
_KEY_HEADER: Final = "x-restate-service-key"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_HINT: Final = "`openssl genpkey -algorithm ed25519 -out identity.pem` makes one."


class SigningKey:
    """The engine's identity.

    Attributes:
        public_key: As endpoints want it in `identity_keys`.
    """

    __slots__ = ("_private_key", "public_key")

    def __init__(self, pem: bytes) -> None:
        """Read a private key.

        Args:
            pem: As PKCS#8 in PEM, not encrypted.

        Raises:
            ConfigurationError: It is not an Ed25519 key.
            MissingExtraError: PyJWT, cryptography or base58 is not installed.
        """
        try:
            import base58
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import (
                Encoding,
                PublicFormat,
                load_pem_private_key,
            )

            import_module("jwt")
        except ImportError as error:
            raise MissingExtraError("Request identity", "identity") from error
        try:
            found = load_pem_private_key(pem, password=None)
        except Exception:
            # Without the reason, and without the cause: both may quote the key.
            raise ConfigurationError("The identity key is no private key in PEM.", hint=_HINT) from None
        if not isinstance(found, Ed25519PrivateKey):
            raise ConfigurationError("The identity key is not an Ed25519 key.", hint=_HINT)
        self._private_key: Ed25519PrivateKey = found
        encoded: bytes = base58.b58encode(found.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.public_key: str = KEY_PREFIX + encoded.decode()

    def __repr__(self) -> str:
        """Show the public key only."""
        return f"SigningKey({self.public_key!r})"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SigningKey:
        """Read a private key from a file that only its owner can read.

        Raises:
            ConfigurationError: The file cannot be read, others can read it, or it holds no Ed25519 key.
            MissingExtraError: As for `SigningKey`.
        """
        file = Path(path)
        try:
            mode = file.stat().st_mode
            pem = file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"The identity key {file} cannot be read: {error.strerror}.") from error
        if os.name == "posix" and mode & _OTHERS:
            raise ConfigurationError(f"The identity key {file} can be read by others.", hint=f"chmod 600 {file}")
        return cls(pem)

    def signed(self, route: str, headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Give the headers of a request with its signature; what was there of another one is dropped.

        Args:
            route: `/discover` or `/invoke/…`, without the path of the deployment.
            headers: Of the request, in lower case; an object's key is taken from them.
        """
        import jwt

        now_s = int(time.time())
        claims: dict[str, Any] = {
            "aud": route,
            "iat": now_s,
            "nbf": now_s - _CLOCK_DIFFERENCE_S,
            "exp": now_s + _LIFETIME_S,
        }
        key = next((value for name, value in headers if name == _KEY_HEADER), None)
        if key is not None:
            claims["sub"] = unquote(key)
        token = jwt.encode(claims, self._private_key, algorithm=_ALGORITHM, headers={"kid": self.public_key})
        others = [header for header in headers if header[0] not in _SIGNATURE]
        return [*others, (SCHEME_HEADER, _SCHEME), (TOKEN_HEADER, token)]
