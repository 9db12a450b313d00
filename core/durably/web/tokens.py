"""Addresses of results that nobody can guess or make up.

Owns the last segment of a `Location`: what it says, and how it is trusted.

| token | trusted because | made when |
|---|---|---|
| `inv_…~service~handler~signature` | it is signed | there is a secret |
| `run_…~service~handler~inv_…[~key]` | `run_…` is its idempotency key, 192 random bits | there is none |

An id alone would not do: with an idempotency key it follows from that key, which a caller may know of another.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from typing import Final

from durably.client.interfaces import IdempotentRequest, InvocationRef

__all__ = ["GENERATED_KEY", "ResultTokens", "Target"]

GENERATED_KEY: Final = "durably-run_"
"""How idempotency keys begin that are made here; no key of a caller does."""

_NONCE: Final = r"[A-Za-z0-9_-]{32}"
_SIGNED: Final = re.compile(r"(inv_[A-Za-z0-9]{10,60})~([A-Za-z0-9._-]+)~([A-Za-z0-9_]+)~([A-Za-z0-9_-]{43})", re.ASCII)
_RANDOM: Final = re.compile(
    rf"run_({_NONCE})~([A-Za-z0-9._-]+)~([A-Za-z0-9_]+)~(inv_[A-Za-z0-9]{{10,60}})(?:~([A-Za-z0-9_-]*))?", re.ASCII
)
_PURPOSE: Final = b"durably result v1\n"
_MAX_CHARS: Final = 8192


@dataclass(frozen=True, slots=True)
class Target:
    """What a token leads to.

    Attributes:
        service: Of the handler that was invoked.
        handler: Its name.
        invocation_id: For answers; where the token is not signed, what the asker says.
        invocation: How the result is asked for.
    """

    service: str
    handler: str
    invocation_id: str
    invocation: InvocationRef


class ResultTokens:
    """Makes and reads tokens."""

    def __init__(self, secret: bytes | None) -> None:
        """Sign with `secret`; with None only invocations with a key made here get tokens."""
        self._secret = secret

    @property
    def are_signed(self) -> bool:
        """Whether there is a secret."""
        return self._secret is not None

    def make(
        self, invocation_id: str, service: str, handler: str, *, key: str | None, idempotency_key: str | None
    ) -> str | None:
        """Give the token of an invocation, or None where it could be guessed.

        Args:
            invocation_id: Its id.
            service: Its service.
            handler: Its handler.
            key: Of its object; None for a plain service.
            idempotency_key: What it was sent with.
        """
        if self._secret is not None:
            said = f"{invocation_id}~{service}~{handler}"
            return f"{said}~{_signature(self._secret, said)}"
        if idempotency_key is None or not idempotency_key.startswith(GENERATED_KEY):
            return None
        said = f"run_{idempotency_key[len(GENERATED_KEY) :]}~{service}~{handler}~{invocation_id}"
        return said if key is None else f"{said}~{base64.urlsafe_b64encode(key.encode()).decode().rstrip('=')}"

    def read(self, token: str) -> Target | None:
        """Give what a token leads to; None if it was not made here."""
        if len(token) > _MAX_CHARS:
            return None
        if self._secret is not None:
            return _read_signed(self._secret, token)
        return _read_random(token)


def _signature(secret: bytes, said: str) -> str:
    digest = hmac.digest(secret, _PURPOSE + said.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _read_signed(secret: bytes, token: str) -> Target | None:
    match = _SIGNED.fullmatch(token)
    if match is None:
        return None
    invocation_id, service, handler, signature = match.groups()
    if not hmac.compare_digest(_signature(secret, f"{invocation_id}~{service}~{handler}"), signature):
        return None
    return Target(service, handler, invocation_id, invocation_id)


def _read_random(token: str) -> Target | None:
    match = _RANDOM.fullmatch(token)
    if match is None:
        return None
    nonce, service, handler, invocation_id, encoded = match.groups()
    key = None
    if encoded is not None:
        try:
            key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not key:
            return None
    invocation = IdempotentRequest(service, handler, GENERATED_KEY + nonce, key)
    return Target(service, handler, invocation_id, invocation)
