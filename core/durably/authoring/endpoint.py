"""The endpoint: the services of one deployment, and how they are served.

Owns the registry that requests are looked up in, and the settings that belong to all services together. Serving
it over HTTP is `hosting`'s business, which `durably.endpoint` brings together with this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from durably.authoring.codec import CodecSource, JournalValueCodec, JournalValueCodecProvider
from durably.authoring.failures import FailureMap, FailureRule
from durably.authoring.handlers import Handler
from durably.authoring.objects import VirtualObject
from durably.authoring.services import DefinedService, Service
from durably.authoring.workflows import Workflow
from durably.errors import ConfigurationError, RegistrationError
from durably.machine import MachineOptions

if TYPE_CHECKING:
    # At run time imported on use: it takes a tenth of the package's import time, and only serving needs it.
    from durably.protocol.manifest import EndpointManifest, ProtocolMode

__all__ = ["AnyService", "Endpoint", "protocol_mode_of"]

AnyService = Service | VirtualObject | Workflow


def protocol_mode_of(protocol: Literal["bidi", "request_response"] | None) -> ProtocolMode | None:
    """Read a `protocol=` argument; None leaves the mode to each request.

    Raises:
        ConfigurationError: It names no mode.
    """
    if protocol is None:
        return None
    from durably.protocol.manifest import ProtocolMode

    match protocol:
        case "bidi":
            return ProtocolMode.BIDI_STREAM
        case "request_response":
            return ProtocolMode.REQUEST_RESPONSE
        case _:
            raise ConfigurationError(f"protocol must be 'bidi' or 'request_response', not {protocol!r}.")


class Endpoint:
    """The services of one deployment.

    Attributes:
        services: By name, in the order they were bound.
        protocol: `"bidi"`, `"request_response"`, or None: decided by what the server can do.
        identity_keys: Public keys of the runtimes that may call; empty accepts unsigned requests.
        failures: Which exceptions are terminal in every handler, after the services' own maps.
        machine_options: How the journal is followed.
    """

    def __init__(self) -> None:
        """Begin without services."""
        self.services: dict[str, AnyService] = {}
        self.protocol: Literal["bidi", "request_response"] | None = None
        self.identity_keys: tuple[str, ...] = ()
        self.failures: FailureMap = FailureMap()
        self.machine_options: MachineOptions = MachineOptions()
        self.codec_source: CodecSource = CodecSource(None)
        self._journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None
        self._sealed_because: str | None = None

    @property
    def journal_value_codec(self) -> JournalValueCodec | JournalValueCodecProvider | None:
        """The codec, or the function that builds it, as it was given; `codec_source` builds it once."""
        return self._journal_value_codec

    @journal_value_codec.setter
    def journal_value_codec(self, codec_or_provider: JournalValueCodec | JournalValueCodecProvider | None) -> None:
        self.codec_source = CodecSource(codec_or_provider)
        self._journal_value_codec = codec_or_provider

    @property
    def protocol_mode(self) -> ProtocolMode | None:
        """The mode that was asked for, or None: decided by what the server can do."""
        return protocol_mode_of(self.protocol)

    def bind(self, *services: AnyService) -> Self:
        """Add services; gives the endpoint itself.

        Raises:
            RegistrationError: One is no service, or its name is taken. Those before it are bound.
        """
        for service in services:
            self._bind(service)
        return self

    def seal(self, reason: str) -> None:
        """Refuse further services, and say why, until `unseal`."""
        self._sealed_because = reason

    def unseal(self) -> None:
        """Take services again."""
        self._sealed_because = None

    def streaming_protocol(self) -> Self:
        """Tell the runtime to stream, whatever the server seems able to do; gives the endpoint itself."""
        self.protocol = "bidi"
        return self

    def request_response_protocol(self) -> Self:
        """Tell the runtime not to stream, whatever the server seems able to do; gives the endpoint itself."""
        self.protocol = "request_response"
        return self

    def identity_key(self, identity_key: str) -> Self:
        """Accept requests signed for this public key, and from now on no unsigned ones; gives the endpoint itself."""
        self.identity_keys = (*self.identity_keys, identity_key)
        return self

    def set_journal_value_codec(self, codec_or_provider: JournalValueCodec | JournalValueCodecProvider) -> Self:
        """Change all journaled values with a codec, or one that an async function builds on first use.

        Raises:
            ConfigurationError: It is neither.
        """
        self.journal_value_codec = codec_or_provider
        return self

    def _bind(self, service: Any) -> None:
        if not isinstance(service, (Service, VirtualObject, Workflow)):
            raise RegistrationError(
                f"{service!r} is not a service.", hint="Bind instances of Service, VirtualObject or Workflow."
            )
        if self._sealed_because is not None:
            raise RegistrationError(
                f"{service.name!r} cannot be bound any more. {self._sealed_because}", hint="Bind it at import."
            )
        if service.name in self.services:
            raise RegistrationError(f"The name {service.name!r} is bound already.", hint="Names are per deployment.")
        self.services[service.name] = service

    def map_failures(self, failures: FailureMap | Mapping[type[BaseException], FailureRule]) -> None:
        """Make exceptions terminal in every handler; later maps win over earlier ones.

        Raises:
            ConfigurationError: A key is no exception class, or a rule cannot work.
        """
        self.failures = self.failures | FailureMap.of(failures)

    def find(self, service: str, handler: str) -> Handler | None:
        """Give a handler by the two names in a request's path, or None."""
        found: DefinedService | None = self.services.get(service)
        return None if found is None else found.handlers.get(handler)

    def manifest(self, protocol_mode: ProtocolMode) -> EndpointManifest:
        """Describe all services for the runtime.

        Args:
            protocol_mode: What the server can do; `protocol` overrides it.

        Raises:
            UndefinedTypeError: A type in a signature still refers to a name that does not exist.
        """
        from durably.authoring.manifest import endpoint_manifest

        return endpoint_manifest(self.services.values(), self.protocol_mode or protocol_mode)
