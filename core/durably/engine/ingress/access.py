"""Who may use the HTTP APIs of the engine.

Owns the checks before anything of a request is looked at: the token, the peer, the `Host` header, and whether a
browser sent it for another site.

| request | answer |
|---|---|
| with the token | passes |
| no token or a wrong one, and one is configured | 401 |
| none is configured, from this machine, `Host` names this machine or a listed host | passes |
| none is configured, other `Host`, or two | 403: a name of an attacker may point to 127.0.0.1 (DNS rebinding) |
| none is configured, from elsewhere or through a proxy | 401 |
| of a browser for another site (`Origin`, `Sec-Fetch-Site`), without the token | 403 |

Nothing is answered with `access-control-…` headers, so that no web page can read an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from durably.errors import ConfigurationError

__all__ = ["AccessOptions", "Refused", "check_access", "is_loopback"]

_FORWARDING: Final = frozenset((b"forwarded", b"x-forwarded-for", b"x-real-ip"))
_SAME_SITE: Final = frozenset((b"same-origin", b"none"))
_MIN_TOKEN: Final = 16

RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """Who may use an API.

    Attributes:
        token: Every request must have `authorization: Bearer <token>`; None lets in only this machine.
        allowed_hosts: Names in `Host`, without port, besides those of this machine; `*` allows all.
        allowed_origins: Sites whose pages may send requests, as in `Origin`: `https://app.example`.
        open_to_all: Whether to skip all of these checks, because what stands in front of the API does them.

    Raises:
        ConfigurationError: The token has fewer than 16 characters, or some that no header can have.
    """

    token: str | None = field(default=None, repr=False)
    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    open_to_all: bool = False

    def __post_init__(self) -> None:
        """Refuse tokens that can be guessed, or never match."""
        if self.token is None:
            return
        if len(self.token) < _MIN_TOKEN:
            raise ConfigurationError(
                f"The token must have at least {_MIN_TOKEN} characters.",
                hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        if not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ConfigurationError("The token must consist of printable ASCII characters without blanks.")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not let in; the message is the same for every request of a kind."""

    status: int
    message: str


_NO_TOKEN: Final = Refused(401, "unauthorized")
_WRONG_HOST: Final = Refused(403, "host not allowed")
_CROSS_SITE: Final = Refused(403, "cross-site request refused")


def check_access(scope: Mapping[str, Any], options: AccessOptions) -> Refused | None:
    """Check a request before anything else of it is looked at.

    Args:
        scope: Of the ASGI connection.
        options: Who may.

    Returns:
        None lets it in.
    """
    if options.open_to_all:
        return None
    headers: RawHeaders = scope["headers"]
    authorization = host = origin = fetch_site = b""
    forwarded = has_two_hosts = False
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"host":
            has_two_hosts = bool(host)
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"sec-fetch-site":
            fetch_site = value
        elif name in _FORWARDING:
            forwarded = True
    if options.token is not None:
        return None if _has_token(authorization, options.token) else _NO_TOKEN
    if forwarded or not _is_local(scope):
        return _NO_TOKEN
    if has_two_hosts or (host and not _is_allowed_host(host, options)):
        return _WRONG_HOST
    if origin:
        return None if _is_allowed_origin(origin, host, options) else _CROSS_SITE
    return None if not fetch_site or fetch_site in _SAME_SITE else _CROSS_SITE


def is_loopback(address: str) -> bool:
    """Tell whether an address, or the name of a host, means this machine."""
    name = address.strip("[]").partition("%")[0].removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        parsed = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _has_token(authorization: bytes, token: str) -> bool:
    scheme, _, given = authorization.partition(b" ")
    # Digests have one length, and they are compared whatever the scheme is: the time tells nothing.
    same = hmac.compare_digest(hashlib.sha256(given.strip()).digest(), hashlib.sha256(token.encode()).digest())
    return same and scheme.lower() == b"bearer"


def _is_local(scope: Mapping[str, Any]) -> bool:
    client: tuple[str, int] | None = scope.get("client")
    return client is not None and is_loopback(client[0])  # behind a Unix socket there is a proxy


def _is_allowed_host(host: bytes, options: AccessOptions) -> bool:
    name = _host_name(host.decode("latin-1"))
    return is_loopback(name) or "*" in options.allowed_hosts or name in options.allowed_hosts


def _host_name(host: str) -> str:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    return name.strip("[]").lower()


def _is_allowed_origin(origin: bytes, host: bytes, options: AccessOptions) -> bool:
    text = origin.decode("latin-1").lower()
    if text in options.allowed_origins:
        return True
    try:
        site = urlsplit(text)
    except ValueError:
        return False
    return site.scheme in ("http", "https") and site.netloc == host.decode("latin-1").lower()
