"""Whose idempotency key it is.

Owns the key that the runtime sees. Two callers who choose the same key must not meet in one invocation, so the
caller's identity goes into it; and no caller can choose a key that is made here.

| the caller | the key | the runtime sees |
|---|---|---|
| is not told apart | printable ASCII, at most 200 characters | the same |
| is not told apart | another, or one that begins with `durably-` | `durably-key_` and a digest |
| is told apart | any | `durably-own_` and a digest of identity and key |
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from durably.web.tokens import GENERATED_KEY

__all__ = ["generated_key", "random_workflow_key", "scoped_key"]

_PLAIN: Final = re.compile(r"[!-~]{1,200}", re.ASCII)
_NONCE_BYTES: Final = 24


def scoped_key(key: str, identity: bytes | None) -> str:
    """Give the key for the runtime.

    Args:
        key: As the caller gave it, without blanks around it.
        identity: Who the caller is; None where callers are not told apart.
    """
    encoded = key.encode(errors="surrogatepass")
    if identity is not None:
        return f"durably-own_{_digest(len(identity).to_bytes(8, 'big') + identity + encoded)}"
    if _PLAIN.fullmatch(key) and not key.lower().startswith("durably-"):
        return key
    return f"durably-key_{_digest(encoded)}"


def generated_key() -> str:
    """Make an idempotency key that nobody can guess."""
    return GENERATED_KEY + secrets.token_urlsafe(_NONCE_BYTES)


def random_workflow_key() -> str:
    """Make a key for a workflow that was given none."""
    return secrets.token_hex(16)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
