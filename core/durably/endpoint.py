"""An endpoint that can be served, and the two functions that make an application of services.

Owns only the step from an endpoint to an application; `durably.authoring.endpoint` owns the endpoint and
`durably.hosting` the applications, which are imported when one is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import durably.authoring.endpoint
from durably.authoring.endpoint import AnyService, protocol_mode_of
from durably.errors import ConfigurationError

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
    from durably.authoring.failures import FailureMap, FailureRule
    from durably.hosting.asgi import AsgiApp
    from durably.hosting.options import HostingOptions
    from durably.hosting.wsgi import WsgiApp
    from durably.machine import MachineOptions

__all__ = ["Endpoint", "app", "wsgi_app"]


class Endpoint(durably.authoring.endpoint.Endpoint):
    """The services of one deployment. Bind them, then make one application of it.

    app = Endpoint().bind(orders, payments).identity_key("publickeyv1_…").app()
    """

    def app(self, options: HostingOptions | None = None) -> AsgiApp:
        """Make the ASGI application.

        Args:
            options: How it is served; None takes the defaults.
        """
        from durably.hosting.asgi import AsgiApp
        from durably.hosting.options import DEFAULT_HOSTING

        return AsgiApp(self, DEFAULT_HOSTING if options is None else options)

    def wsgi_app(self, options: HostingOptions | None = None) -> WsgiApp:
        """Make the WSGI application; it never streams.

        Args:
            options: How it is served; None takes the defaults.
        """
        from durably.hosting.options import DEFAULT_HOSTING
        from durably.hosting.wsgi import WsgiApp

        return WsgiApp(self, DEFAULT_HOSTING if options is None else options)


def app(
    services: Iterable[AnyService],
    protocol: Literal["bidi", "request_response"] | None = None,
    identity_keys: Sequence[str] | None = None,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    *,
    failures: FailureMap | Mapping[type[BaseException], FailureRule] | None = None,
    machine_options: MachineOptions | None = None,
    hosting: HostingOptions | None = None,
) -> AsgiApp:
    """Make an ASGI application that serves `services`; serve it alone or mount it.

    Args:
        services: Services, virtual objects and workflows; their names must differ.
        protocol: Streaming or not; None decides by what the server can do.
        identity_keys: Public keys of the runtimes that may call; without any, unsigned requests are accepted.
        journal_value_codec: Encrypts or compresses what is journaled.
        failures: Exception classes that are terminal in every handler, with their status.
        machine_options: How the journal is followed; None takes the defaults.
        hosting: How the application is served; None takes the defaults.

    Raises:
        RegistrationError: A service is none, or two have the same name.
        ConfigurationError: A setting cannot work.
    """
    endpoint = _endpoint(services, identity_keys, journal_value_codec, failures, machine_options)
    protocol_mode_of(protocol)
    endpoint.protocol = protocol
    return endpoint.app(hosting)


def wsgi_app(
    services: Iterable[AnyService],
    identity_keys: Sequence[str] | None = None,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    *,
    failures: FailureMap | Mapping[type[BaseException], FailureRule] | None = None,
    machine_options: MachineOptions | None = None,
    hosting: HostingOptions | None = None,
) -> WsgiApp:
    """Make a WSGI application that serves `services`; it answers requests without streaming.

    Args:
        services: Services, virtual objects and workflows; their names must differ.
        identity_keys: Public keys of the runtimes that may call; without any, unsigned requests are accepted.
        journal_value_codec: Encrypts or compresses what is journaled.
        failures: Exception classes that are terminal in every handler, with their status.
        machine_options: How the journal is followed; None takes the defaults.
        hosting: How the application is served; None takes the defaults.

    Raises:
        RegistrationError: A service is none, or two have the same name.
        ConfigurationError: A setting cannot work.
    """
    endpoint = _endpoint(services, identity_keys, journal_value_codec, failures, machine_options)
    return endpoint.request_response_protocol().wsgi_app(hosting)


def _endpoint(
    services: Iterable[AnyService],
    identity_keys: Sequence[str] | None,
    codec: JournalValueCodec | JournalValueCodecProvider | None,
    failures: FailureMap | Mapping[type[BaseException], FailureRule] | None,
    machine_options: MachineOptions | None,
) -> Endpoint:
    if isinstance(identity_keys, str):
        raise ConfigurationError("identity_keys is a list of keys, not one text.", hint="Write identity_keys=[key].")
    endpoint = Endpoint().bind(*services)
    endpoint.identity_keys = tuple(identity_keys or ())
    if codec is not None:
        endpoint.set_journal_value_codec(codec)
    if failures is not None:
        endpoint.map_failures(failures)
    if machine_options is not None:
        endpoint.machine_options = machine_options
    return endpoint
