"""Which addresses are read, and which are connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import pytest

from durably.engine.transport.addresses import AddressError, AddressPolicy, ServiceAddress, read_address, resolve
from durably.engine.transport.connections import Connections
from durably.engine.transport.contract import TransportError
from durably.engine.transport.http import HttpTransport
from durably.engine.transport.options import HttpOptions


@pytest.mark.parametrize(
    ("uri", "expected", "authority"),
    [
        ("http://localhost:9080", ServiceAddress(False, "localhost", 9080), "localhost:9080"),
        ("https://Example.COM/base/", ServiceAddress(True, "example.com", 443, "/base"), "example.com"),
        ("http://[::1]:80/a?b=c", ServiceAddress(False, "::1", 80, "/a", "?b=c"), "[::1]"),
        ("http://my_service:1/x%20y", ServiceAddress(False, "my_service", 1, "/x%20y"), "my_service:1"),
    ],
)
def test_addresses_are_read(uri: str, expected: ServiceAddress, authority: str):
    """Host, port, path without its final slash, and query."""
    assert read_address(uri) == expected
    assert expected.authority == authority


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "localhost:9080",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "ftp://example.com",
        "unix:/run/x.sock",
        "http://user:canary@example.com/",
        "http://canary@example.com/",
        "http://example.com#fragment",
        "http://example.com/#",
        "http:///path",
        "http://:80/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:x/",
        "http://localhost./",
        "http://a..b/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://127.0.0.1.0x1/",
        "http://1.2.3.4.5/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://[nonsense]/",
        "http://ex ample.com/",
        "http://example.com/\r\nhost: x",
        "http://example.com\\@evil.com/",
        "http://exämple.com/",
        "http://" + "a" * 3000,
    ],
)
def test_what_is_no_address_is_refused(uri: str):
    """Other schemes, user-info, other spellings of numbers and control characters are refused; secrets not shown."""
    with pytest.raises(AddressError) as caught:
        read_address(uri)
    assert "canary" not in str(caught.value)


NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::ffff:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "192.0.2.1", "240.0.0.1"]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_used(address: str):
    """Not even when everything is listed and loopback is allowed."""
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    with pytest.raises(AddressError):
        AddressPolicy(allowed_networks=everything).check(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_used_if_listed(address: str):
    """A private address needs its network in the list; loopback does not open it."""
    ip = ipaddress.ip_address(address)
    with pytest.raises(AddressError, match="allowed_networks"):
        AddressPolicy().check(ip)
    AddressPolicy(allowed_networks=(ipaddress.ip_network(address),)).check(ip)


def test_loopback_can_be_forbidden():
    """This machine is allowed by default, and public addresses always are."""
    for address in ("127.0.0.1", "127.9.9.9", "::1"):
        AddressPolicy().check(ipaddress.ip_address(address))
        with pytest.raises(AddressError, match="this machine"):
            AddressPolicy(allow_loopback=False).check(ipaddress.ip_address(address))
    for address in ("93.184.216.34", "2606:2800:220:1::1"):
        AddressPolicy(allow_loopback=False).check(ipaddress.ip_address(address))


async def test_every_answer_of_a_name_is_checked():
    """One private address among public ones makes the name unusable."""

    async def resolver(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(AddressError):
        await resolve(ServiceAddress(False, "example.com", 80), AddressPolicy(), resolver=resolver)


async def test_a_name_without_addresses_is_an_error():
    """No answer is no connection."""

    async def resolver(host: str, port: int) -> list[str]:
        return []

    with pytest.raises(OSError, match="no address"):
        await resolve(ServiceAddress(False, "example.com", 80), AddressPolicy(), resolver=resolver)


async def test_the_system_resolves_names():
    """A name of this machine gives its addresses, each once."""
    found = await resolve(ServiceAddress(False, "localhost", 80), AddressPolicy())
    assert (socket.AF_INET, "127.0.0.1", 80) in found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("answers", [[["93.184.216.34"], ["127.0.0.1"]], [["127.0.0.1"]]])
async def test_a_name_that_changes_reaches_nothing(answers: list[list[str]]):
    """With loopback forbidden nothing connects to this machine, whatever a name stands for by then."""
    accepted = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    async def resolver(host: str, port: int) -> list[str]:
        return answers.pop(0)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    policy = AddressPolicy(allow_loopback=False)
    connections = Connections(HttpOptions(addresses=policy), resolver=resolver)
    transport = HttpTransport(connections, f"http://rebinding.example:{port}")
    if len(answers) == 2:
        await transport.check_address()
    with pytest.raises(TransportError, match="this machine"):
        await transport.open("/discover", [], method="GET")
    connections.close()
    server.close()
    assert accepted == 0
