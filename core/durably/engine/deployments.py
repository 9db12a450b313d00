"""The ways to services: one transport for each deployment, and what a registration asks of it.

Owns which transport belongs to which address, discovery up to the event that registers what was found, and the
closing. `inprocess://name` stands for an ASGI application of this process; http and https for everything else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from durably.engine.api import Registration
from durably.engine.events import RegisterDeployment
from durably.engine.records import Deployment
from durably.engine.transport.addresses import AddressError
from durably.engine.transport.contract import DiscoveryError, Transport, TransportError
from durably.engine.transport.manifests import read_manifest
from durably.errors import MissingExtraError
from durably.protocol.ids import deployment_id

if TYPE_CHECKING:
    from durably.engine.transport.connections import Connections
    from durably.engine.transport.inprocess import AsgiApplication
    from durably.engine.transport.options import HttpOptions

__all__ = ["IN_PROCESS", "Deployments"]

IN_PROCESS: Final = "inprocess://"
_HTTP_1_1: Final = "HTTP/1.1"


class Deployments:
    """The transports of an engine; for its event loop only."""

    def __init__(self, options: HttpOptions | None = None) -> None:
        """Begin with none.

        Args:
            options: How services are reached over HTTP; None takes the defaults.
        """
        self._options = options
        self._applications: dict[str, AsgiApplication] = {}
        self._transports: dict[str, tuple[tuple[str, bool], Transport]] = {}
        self._connections: Connections | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def add_application(self, name: str, application: AsgiApplication) -> str:
        """Serve an ASGI application as `inprocess://name`; gives that address."""
        uri = IN_PROCESS + name
        self._applications[uri] = application
        return uri

    def transport(self, deployment: Deployment) -> Transport:
        """Give the transport of a deployment, made on first use.

        Raises:
            TransportError: It is an application that this process does not have.
            AddressError: Its address is refused.
        """
        wanted = (deployment.uri, deployment.http_version == _HTTP_1_1)
        known = self._transports.get(deployment.id)
        if known is not None:
            if known[0] == wanted:
                return known[1]
            self._close_aside(known[1])
        transport = self._connected(deployment.uri, use_http_11=wanted[1])
        self._transports[deployment.id] = (wanted, transport)
        return transport

    async def discover(self, registration: Registration, *, ulid: int, now_ms: int) -> RegisterDeployment:
        """Ask a deployment for its services.

        Args:
            registration: Where, and how it is to be registered.
            ulid: For its id, if it is new.
            now_ms: When.

        Returns:
            The event that registers it.

        Raises:
            DiscoveryError: It cannot be registered.
        """
        try:
            transport = self._connected(registration.uri, use_http_11=registration.use_http_11)
        except (AddressError, TransportError) as error:
            raise DiscoveryError(error.message, code="META0003", hint=error.hint) from error
        try:
            found = await transport.discover(registration.additional_headers)
        finally:
            await transport.close()
        manifest = read_manifest(found)
        deployment = Deployment(
            id=deployment_id(ulid),
            uri=registration.uri.rstrip("/"),
            created_at=now_ms,
            protocol_mode=manifest.protocol_mode,
            http_version=found.http_version.value,
            min_protocol_version=manifest.min_protocol_version,
            max_protocol_version=manifest.max_protocol_version,
            sdk_version=found.server,
            additional_headers=registration.additional_headers,
            metadata=dict(registration.metadata or {}),
            use_http_11=registration.use_http_11,
        )
        return RegisterDeployment(
            deployment,
            manifest.services,
            force=registration.force,
            breaking=registration.breaking,
            dry_run=registration.dry_run,
        )

    async def close(self) -> None:
        """Close all."""
        transports = [transport for _, transport in self._transports.values()]
        self._transports.clear()
        await asyncio.gather(*(transport.close() for transport in transports))
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def _connected(self, uri: str, *, use_http_11: bool) -> Transport:
        if uri.startswith(IN_PROCESS):
            application = self._applications.get(uri)
            if application is None:
                raise TransportError(
                    f"No application in this process is named {uri.removeprefix(IN_PROCESS)!r}.",
                    hint="Give the engine the services that its file was written with.",
                )
            from durably.engine.transport.inprocess import InProcessTransport

            return InProcessTransport(application, identity=None if self._options is None else self._options.identity)
        try:
            from durably.engine.transport.connections import Connections
            from durably.engine.transport.http import HttpTransport
            from durably.engine.transport.options import HttpOptions
        except ImportError as error:
            raise MissingExtraError("Reaching services over HTTP", "engine") from error
        if self._connections is None:
            self._connections = Connections(self._options or HttpOptions())
        return HttpTransport(self._connections, uri, use_http_11=use_http_11)

    def _close_aside(self, transport: Transport) -> None:
        task = asyncio.get_running_loop().create_task(transport.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
