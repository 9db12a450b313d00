"""Connects to services, and keeps connections for reuse.

Owns the way from a name to a connection that speaks: resolve, check every address, connect, TLS, choose the version of
HTTP, wait for the first sign of it. Connections are shared by all deployments of one authority.

| uri | version |
|---|---|
| `http://` | HTTP/2 with prior knowledge |
| `http://` with `use_http_11` | HTTP/1.1 |
| `https://` | what ALPN negotiates; HTTP/1.1 where there is no ALPN |
| `https://` with `use_http_11` | HTTP/1.1 |

Source: service protocol, "HTTP versions".
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from durably.engine.transport.addresses import (
    AddressError,
    Resolver,
    ServiceAddress,
    SocketAddress,
    resolve,
)
from durably.engine.transport.contract import FailureKind, TransportError
from durably.engine.transport.http2 import Http2Connection
from durably.engine.transport.http11 import Http11Connection
from durably.engine.transport.options import HttpOptions
from durably.errors import ConfigurationError

__all__ = ["Connections", "Pool"]

Connection = Http2Connection | Http11Connection
_PoolKey = tuple[bool, str, int, bool]

_SWEEP_PERIOD_S: Final = 2.0


class Connections:
    """The pools of all authorities. Belongs to one event loop."""

    def __init__(self, options: HttpOptions, *, resolver: Resolver | None = None) -> None:
        """Use `options`; `resolver` gives the numeric addresses of a host, the system does unless given."""
        self.options = options
        self.resolver = resolver
        self._pools: dict[_PoolKey, Pool] = {}
        self._tls: dict[bool, ssl.SSLContext] = {}

    def pool(self, address: ServiceAddress, *, use_http_11: bool) -> Pool:
        """Give the pool of an authority."""
        key = (address.is_secure, address.host, address.port, use_http_11)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(address, use_http_11, self)
        return pool

    def tls_context(self, use_http_11: bool) -> ssl.SSLContext:
        """Give what https connections are made with; reading the authorities takes too long to do it each time."""
        context = self._tls.get(use_http_11)
        if context is None:
            context = (self.options.tls or ssl.create_default_context)()
            if context in self._tls.values():
                raise ConfigurationError(
                    "`HttpOptions.tls` gave the same context twice.",
                    hint="It has to make a new one each time: each is told which versions of HTTP to offer.",
                )
            context.set_alpn_protocols(["http/1.1"] if use_http_11 else ["h2", "http/1.1"])
            self._tls[use_http_11] = context
        return context

    def close(self) -> None:
        """Close every connection; open exchanges fail."""
        for pool in self._pools.values():
            pool.close()


class Pool:
    """The connections to one authority."""

    def __init__(self, address: ServiceAddress, use_http_11: bool, owner: Connections) -> None:
        """Connect when first asked."""
        self._address = address
        self._use_http_11 = use_http_11
        self._owner = owner
        self._http2: list[Http2Connection] = []
        self._http11_idle: list[Http11Connection] = []
        self._all: set[Connection] = set()
        self._dialling: asyncio.Task[Connection] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._all)

    async def acquire(self) -> Connection:
        """Give a connection that takes an exchange; open it without awaiting anything in between.

        Raises:
            TransportError: There is none to be had.
        """
        while True:
            reusable = self._reusable()
            if reusable is not None:
                return reusable
            if self._use_http_11:
                return await self._dial()
            # Whoever comes meanwhile shares the connection, or the failure.
            if self._dialling is None:
                self._dialling = asyncio.create_task(self._dial_for_all())
                self._dialling.add_done_callback(self._on_dialled)
            connection = await self._shared(self._dialling)
            if connection.is_closed:
                raise TransportError("The service closes every connection.")
            if isinstance(connection, Http2Connection) and connection.max_streams == 0:
                raise TransportError("The service allows no streams.")

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._all):
            connection.close()

    def _reusable(self) -> Connection | None:
        if self._is_closed:
            raise _stopped()
        for shared in self._http2:
            if shared.can_open:
                return shared
        while self._http11_idle:
            own = self._http11_idle.pop()
            if own.can_open:
                return own
        return None

    async def _shared(self, dialling: asyncio.Task[Connection]) -> Connection:
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            if self._is_closed and dialling.cancelled():
                raise _stopped() from None  # it was not this task that was cancelled
            raise

    async def _dial_for_all(self) -> Connection:
        connection = await self._dial()
        if isinstance(connection, Http11Connection):
            self._on_idle(connection)
        return connection

    def _on_dialled(self, dialled: asyncio.Task[Connection]) -> None:
        self._dialling = None
        if not dialled.cancelled():
            dialled.exception()  # looked at, even if nobody waits any more

    async def _dial(self) -> Connection:
        options = self._owner.options
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                connection = await self._connect()
        except TimeoutError:
            text = f"No connection to {self._address.authority} within {options.connect_timeout_s:g} s."
            raise TransportError(text, hint="Does the service run, and is its address right?") from None
        except AddressError as error:
            raise TransportError(error.message, kind=FailureKind.VIOLATION, hint=error.hint) from error
        except ssl.SSLError as error:
            text = f"TLS with {self._address.authority} failed: {error.reason or type(error).__name__}."
            raise TransportError(text, hint="Is its certificate one that this machine trusts?") from error
        except OSError as error:
            text = f"No connection to {self._address.authority}: {error.strerror or type(error).__name__}."
            raise TransportError(text, hint="Does the service run, and is its address right?") from error
        if self._is_closed:
            connection.close()
            raise _stopped()
        return connection

    async def _connect(self) -> Connection:
        addresses = await resolve(self._address, self._owner.options.addresses, resolver=self._owner.resolver)
        for address in addresses[:-1]:
            try:
                return await self._connect_to(address)
            except OSError:
                continue  # the last one's error is the one that is told
        return await self._connect_to(addresses[-1])

    async def _connect_to(self, address: SocketAddress) -> Connection:
        loop = asyncio.get_running_loop()
        family, host, port = address
        # With the protocol named, asyncio sends at once (TCP_NODELAY); else each window would wait 40 ms for the peer.
        connecting = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            connecting.setblocking(False)
            await loop.sock_connect(connecting, (host, port))
            opening = await self._start(loop, connecting)
        except BaseException:
            connecting.close()
            raise
        connection: Connection = opening.connection
        self._all.add(connection)
        if isinstance(connection, Http2Connection):
            try:
                await asyncio.shield(connection.ready)
            except BaseException:
                connection.close()
                raise
            if not connection.is_closed:
                self._http2.append(connection)
        return connection

    async def _start(self, loop: asyncio.AbstractEventLoop, connected: socket.socket) -> _Opening:
        if not self._address.is_secure:
            opening = _Opening(self._choose, negotiates=False)
            await loop.create_connection(lambda: opening, sock=connected)
        else:
            opening = _Opening(self._choose, negotiates=True)
            context = self._owner.tls_context(self._use_http_11)
            await loop.create_connection(
                lambda: opening,
                sock=connected,
                ssl=context,
                server_hostname=self._address.host,
                ssl_handshake_timeout=self._owner.options.connect_timeout_s,
            )
        return opening

    def _choose(self, negotiated: str | None, is_negotiable: bool) -> Connection:
        if self._use_http_11 or (is_negotiable and negotiated != "h2"):
            return Http11Connection(self._on_idle, self._on_http11_closed)
        return Http2Connection(self._owner.options, self._on_http2_closed)

    def _on_idle(self, connection: Http11Connection) -> None:
        if not self._is_closed:
            self._http11_idle.append(connection)
            self._arm()

    def _on_http11_closed(self, connection: Http11Connection) -> None:
        self._all.discard(connection)
        if connection in self._http11_idle:
            self._http11_idle.remove(connection)

    def _on_http2_closed(self, connection: Http2Connection) -> None:
        if connection in self._http2:
            self._http2.remove(connection)
        if connection.is_closed:
            self._all.discard(connection)

    def _arm(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_PERIOD_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        oldest_s = asyncio.get_running_loop().time() - self._owner.options.idle_timeout_http_11_s
        for connection in [idle for idle in self._http11_idle if idle.idle_since_s <= oldest_s]:
            connection.close()
        if self._http11_idle:
            self._arm()


class _Opening(asyncio.Protocol):
    """Stands in until it is known which version of HTTP a connection speaks."""

    connection: Connection

    def __init__(self, choose: Callable[[str | None, bool], Connection], *, negotiates: bool) -> None:
        self._choose = choose
        self._negotiates = negotiates

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        negotiated: str | None = None if tls is None else tls.selected_alpn_protocol()
        self.connection = self._choose(negotiated, self._negotiates)
        transport.set_protocol(self.connection)
        self.connection.connection_made(transport)


def _stopped() -> TransportError:
    return TransportError("The engine has stopped.")
