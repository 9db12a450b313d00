"""Request identity: is a request really from the runtime whose public key was configured?

Owns the verification of one request's headers against its path. The runtime signs a token with
Ed25519; the token is bound to the route but not to the body, and lives two minutes, so it is no
replacement for TLS.

Rules, each of which fails closed:

1. With keys configured every request needs exactly one scheme header, `v1`, and exactly one token.
2. Only the algorithm EdDSA, only the configured keys. Nothing in the token chooses a key: `kid`
   and its like are ignored, and critical extensions are refused.
3. Only the canonical text of a token: no padding, no stray characters, no unused bits set.
4. `aud` must be the route: the path from `/invoke/` on, or `/discover`. The prefix under which the
   endpoint is mounted is not part of it.
5. `exp`, `nbf` and `iat` must be there, as whole seconds, and the time between `nbf` and `exp`,
   without leeway. `iat` must lie between the two as well; it is not compared with the clock,
   because the runtime's clock may be ahead and allows for that in `nbf`.

Source: the runtime's request identity scheme v1; `Source: ours` for rules 3 and 5 on `iat`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from durably.errors import ConfigurationError, IdentityError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["KEY_PREFIX", "SCHEME_HEADER", "TOKEN_HEADER", "RequestIdentity", "signed_route"]

SCHEME_HEADER: Final = "x-restate-signature-scheme"
TOKEN_HEADER: Final = "x-restate-jwt-v1"  # noqa: S105 - a header's name
KEY_PREFIX: Final = "publickeyv1_"

_SCHEME: Final = "v1"
_ALGORITHM: Final = "EdDSA"
_KEY_BYTES: Final = 32
# The runtime's tokens have about 350 characters, plus the key of an object; this leaves room for 8 KiB of it.
_MAX_TOKEN_CHARS: Final = 16 * 1024
# The header of a token names an algorithm and a key. Bounding it bounds the work on unverified input.
_MAX_HEADER_CHARS: Final = 1024
# Seconds since the epoch beyond this are not times, and not exact in every JSON reader.
_MAX_TIME: Final = 1 << 53

_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ROUTE: Final = re.compile(r"/invoke/[A-Za-z_][A-Za-z0-9._-]*/[A-Za-z_][A-Za-z0-9_]*\Z|/discover\Z")

_FIELD_PRIME: Final = 2**255 - 19
# Ordinates of the eight points of small order: under such a key anyone can sign.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


def signed_route(path: str) -> str:
    """Give the part of a request's path that its token must name.

    Args:
        path: Percent-decoded, as the routes are matched: `{mount}/invoke/{service}/{handler}` or
            `{mount}/discover`, without a trailing slash.

    Raises:
        IdentityError: The path ends in neither.
    """
    found = _ROUTE.search(path)
    if found is None:
        raise IdentityError("The path is not one that a runtime signs.")
    return found[0]


class RequestIdentity:
    """Verifies that requests come from the holder of one of the configured keys.

    Without keys it accepts everything: whoever configures none must not be reachable from outside.

    Attributes:
        keys: The public keys, as configured.
    """

    __slots__ = ("_public_keys", "keys")

    def __init__(self, keys: Sequence[str]) -> None:
        """Read the keys.

        Args:
            keys: Each `publickeyv1_` and the base58 of 32 bytes, as the runtime prints it.

        Raises:
            ConfigurationError: A key is malformed, or one that would let anyone sign.
            MissingExtraError: There are keys, but PyJWT, cryptography or base58 is not installed.
        """
        self.keys: tuple[str, ...] = tuple(keys)
        self._public_keys = tuple(_read_key(key) for key in self.keys)

    def verify(self, headers: Mapping[str, str] | Iterable[tuple[str, str]], path: str, *, now: float) -> None:
        """Accept a request by returning, or refuse it by raising.

        Call it before the body is read. Answer a refusal with status 401 and no reason.

        Args:
            headers: Names in lower case. Give pairs where a header may be doubled.
            path: See `signed_route`.
            now: Seconds since the epoch.

        Raises:
            IdentityError: The request is not signed as the rules of this module demand.
        """
        if not self._public_keys:
            return
        pairs = list(_pairs(headers))
        if _only(pairs, SCHEME_HEADER) != _SCHEME:
            raise IdentityError("The signature scheme is not `v1`.")
        token = _only(pairs, TOKEN_HEADER)
        _check_claims(self._verified_payload(token), signed_route(path), now)

    def _verified_payload(self, token: str) -> bytes:
        """Check the token's form and signature and give its payload."""
        if len(token) > _MAX_TOKEN_CHARS:
            raise IdentityError("The token is too long.")
        parts = _TOKEN.fullmatch(token)
        if parts is None or not all(_is_canonical(part) for part in parts.groups()):
            raise IdentityError("The token is not three parts of canonical base64url.")
        if len(parts[1]) > _MAX_HEADER_CHARS:
            raise IdentityError("The token's header is too long.")
        header = _read_object(_decode(parts[1]), "header")
        if header.get("alg") != _ALGORITHM or "crit" in header or "b64" in header:
            raise IdentityError("The token is not signed with plain EdDSA.")
        if not any(_is_signed(token, public_key) for public_key in self._public_keys):
            raise IdentityError("No configured key verifies the token.")
        return _decode(parts[2])


def _is_signed(token: str, public_key: Ed25519PublicKey) -> bool:
    import jwt

    try:
        jwt.PyJWS(algorithms=[_ALGORITHM]).decode(token, key=public_key, algorithms=[_ALGORITHM])
    except (jwt.InvalidTokenError, RecursionError):
        return False
    return True


def _pairs(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    if isinstance(headers, Mapping):
        return cast("Mapping[str, str]", headers).items()
    return headers


def _only(pairs: list[tuple[str, str]], name: str) -> str:
    values = [value for key, value in pairs if key == name]
    if len(values) != 1:
        raise IdentityError(f"There are {len(values)} `{name}` headers instead of one.")
    return values[0]


def _check_claims(payload: bytes, route: str, now: float) -> None:
    claims = _read_object(payload, "payload")
    if claims.get("aud") != route:
        raise IdentityError("The token is for another route.")
    expires, not_before, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if not not_before <= issued <= expires:
        raise IdentityError("The token was issued outside of its own lifetime.")
    if not not_before <= now < expires:
        raise IdentityError("The token is not valid at this time; compare the clocks of both sides.")


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value < _MAX_TIME:
        raise IdentityError(f"The token's `{name}` is not a time in whole seconds.")
    return value


def _read_object(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError):
        # The parser's text would quote the content.
        raise IdentityError(f"The token's {what} is not JSON.") from None
    if not isinstance(value, dict):
        raise IdentityError(f"The token's {what} is not an object.")
    return cast("dict[str, Any]", value)


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _is_canonical(part: str) -> bool:
    # One character beyond a multiple of four carries no whole byte, which the decoder refuses.
    return len(part) % 4 != 1 and base64.urlsafe_b64encode(_decode(part)).decode().rstrip("=") == part


def _read_key(key: str) -> Ed25519PublicKey:
    try:
        import base58
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        import_module("jwt")
    except ImportError as error:
        raise MissingExtraError("Request identity", "identity") from error
    shown = key[:80]
    encoded = key.removeprefix(KEY_PREFIX)
    if encoded == key:
        raise ConfigurationError(f"A request identity key starts with `{KEY_PREFIX}`: {shown!r}.")
    try:
        content = base58.b58decode(encoded)
    except ValueError as error:
        raise ConfigurationError(f"A request identity key is written in base58: {shown!r}.") from error
    if base58.b58encode(content).decode() != encoded:
        raise ConfigurationError(f"A request identity key has nothing but base58 after its prefix: {shown!r}.")
    if len(content) != _KEY_BYTES:
        raise ConfigurationError(f"A request identity key has 32 bytes, not {len(content)}: {shown!r}.")
    # The highest bit is the sign of the other coordinate.
    ordinate = int.from_bytes(content, "little") & ((1 << 255) - 1)
    if ordinate >= _FIELD_PRIME or ordinate in _SMALL_ORDER:
        raise ConfigurationError(f"Not a public key that can be trusted: {shown!r}.")
    return Ed25519PublicKey.from_public_bytes(content)
