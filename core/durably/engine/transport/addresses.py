"""Decides which addresses the engine connects to.

Owns the reading of a deployment's URI, and the check of every address that its name stands for. Whoever may register a
deployment makes the engine send requests; without these rules that would reach what only this machine can reach.

| address | connected to |
|---|---|
| loopback | if `allow_loopback` (the default) or listed |
| private ranges (RFC 1918, RFC 4193, carrier-grade NAT) | if listed |
| link-local, cloud metadata, multicast, unspecified, reserved | never |
| any other | yes |

Rules
1. A name is resolved once, all its addresses are checked, and the connection goes to a checked address. Each new
   connection resolves and checks again.
2. An address has one spelling. Decimal, octal and hexadecimal IPv4, IPv4 inside IPv6 and a final dot are refused.
3. User-info and fragments are refused; the scheme is http or https.

Source: ours, docs/design.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from durably.errors import DurablyError

__all__ = ["AddressError", "AddressPolicy", "ServiceAddress", "SocketAddress", "read_address", "resolve"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
SocketAddress = tuple[socket.AddressFamily, str, int]
Resolver = Callable[[str, int], Awaitable[list[str]]]

_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)
_NUMERIC_LABEL: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_MAX_URI_LENGTH: Final = 2048
_NEVER: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
        "100.100.100.200/32",  # metadata at Alibaba Cloud
        "192.0.0.192/32",  # metadata at Oracle Cloud
        "168.63.129.16/32",  # the platform address of Azure
        "fd00:ec2::/32",  # metadata at AWS
        "fd20:ce::/32",  # metadata at Google Cloud
        "fe80::/10",
        "fec0::/10",
        "0.0.0.0/8",
        "255.255.255.255/32",
        "224.0.0.0/4",
        "ff00::/8",
        "::/128",
    )
)
_WITH_IPV4_INSIDE: Final = tuple(
    ipaddress.ip_network(network)
    for network in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
_CARRIER_NAT: Final = ipaddress.ip_network("100.64.0.0/10")


class AddressError(DurablyError, ValueError):
    """An address that the engine does not connect to. No connection was made."""

    code = 400


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Where deployments may be.

    Attributes:
        allow_loopback: Whether they may be on this machine.
        allowed_networks: Private networks, as `10.0.0.0/8`, where they may be.
    """

    allow_loopback: bool = True
    allowed_networks: tuple[IpNetwork, ...] = ()

    def check(self, address: IpAddress) -> None:
        """Accept an address to connect to.

        Raises:
            AddressError: It is refused.
        """
        if any(address in network for network in _NEVER) or address.is_multicast or address.is_unspecified:
            raise AddressError(f"The address {address} is link-local, multicast or a platform's: it is never used.")
        if any(address in network for network in _WITH_IPV4_INSIDE):
            raise AddressError(f"The address {address} hides an IPv4 address.", hint="Give the IPv4 address itself.")
        if any(address in network for network in self.allowed_networks):
            return
        if address.is_loopback:
            if self.allow_loopback:
                return
            raise AddressError(f"The address {address} is this machine.", hint="`allow_loopback` permits it.")
        if address.is_private or address.is_reserved or address in _CARRIER_NAT:
            raise AddressError(
                f"The address {address} is private.",
                hint="List its network in `allowed_networks` if deployments may be there.",
            )


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where a deployment is.

    Attributes:
        is_secure: Whether it is reached with TLS.
        host: Lower case; an IPv6 address without brackets.
        port: 1 to 65535.
        path: Before every route; without a final slash, may be "".
        query: After every route, with its `?`; may be "".
    """

    is_secure: bool
    host: str
    port: int
    path: str = ""
    query: str = ""

    @property
    def authority(self) -> str:
        """Host and port as requests name them; a scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """As in the URI."""
        return "https" if self.is_secure else "http"


def read_address(uri: str) -> ServiceAddress:
    """Read a deployment's URI, without looking its name up.

    Raises:
        AddressError: It is no address of a deployment.
    """
    if not uri or len(uri) > _MAX_URI_LENGTH or not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri:
        raise AddressError(f"{uri[:80]!r} is no URI.", hint="Give http://host:port or https://host, percent-encoded.")
    try:
        parts = urlsplit(uri)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise AddressError(f"{_shown(uri)} is no URI: {error}.") from error
    if parts.scheme not in ("http", "https"):
        raise AddressError(f"{_shown(uri)} has the scheme {parts.scheme!r}.", hint="Only http and https are reached.")
    if "@" in parts.netloc:
        raise AddressError(
            "A deployment's URI must not contain a user or a password.",
            hint="Send credentials as additional_headers, which are stored apart and never shown.",
        )
    if parts.fragment or "#" in uri:
        raise AddressError(f"{_shown(uri)} has a fragment, which has no meaning here.")
    if not host or port == 0:
        raise AddressError(f"{_shown(uri)} names no host or no port.", hint="Give http://host:port or https://host.")
    _check_host(host)
    is_secure = parts.scheme == "https"
    query = f"?{parts.query}" if parts.query else ""
    return ServiceAddress(is_secure, host, port or (443 if is_secure else 80), parts.path.rstrip("/"), query)


async def resolve(
    address: ServiceAddress, policy: AddressPolicy, *, resolver: Resolver | None = None
) -> list[SocketAddress]:
    """Look a host up and check what it stands for.

    Args:
        address: Whose host.
        policy: What is accepted. One address that is not makes the whole answer unusable.
        resolver: Gives the numeric addresses of a host; the system's unless given.

    Returns:
        Addresses to connect to, best first, at least one.

    Raises:
        AddressError: The name stands for an address that is refused.
        OSError: There is no such name.
    """
    try:
        numeric = [str(ipaddress.ip_address(address.host))]
    except ValueError:
        numeric = await (resolver or _system_resolver)(address.host, address.port)
    found: list[SocketAddress] = []
    for text in numeric:
        ip = ipaddress.ip_address(text)
        policy.check(ip)
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        found.append((family, text, address.port))
    if not found:
        raise OSError(f"{address.host} has no address")
    return list(dict.fromkeys(found))


async def _system_resolver(host: str, port: int) -> list[str]:
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


def _check_host(host: str) -> None:
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError as error:
            raise AddressError(f"{host[:80]!r} is no IPv6 address.") from error
        if address.scope_id is not None:
            raise AddressError(f"The address {host} has a zone: link-local addresses are never used.")
        return
    if not _HOST.fullmatch(host) or ".." in host:
        raise AddressError(f"{host[:80]!r} is no host name.", hint="Write it without a final dot, in ASCII.")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise AddressError(
                f"{host[:80]!r} is no IPv4 address.", hint="Write it as four decimal numbers."
            ) from error


def _shown(uri: str) -> str:
    # Never with user-info: it may hold a password.
    scheme, separator, rest = uri.partition("://")
    return repr(f"{scheme}{separator}{rest.rpartition('@')[2]}"[:120])
