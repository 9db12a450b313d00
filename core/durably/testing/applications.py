"""What a harness can run: an ASGI application, services, or an adapter's object.

Owns the step from any of them to an application, and the hook by which adapters of web frameworks plug in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from durably.authoring.codec import CodecSource
from durably.authoring.services import DefinedService
from durably.endpoint import Endpoint
from durably.errors import UsageError
from durably.hosting.asgi import AsgiApp
from durably.hosting.options import DEFAULT_HOSTING, Unsigned

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider

__all__ = ["HasEndpoint", "HasLink", "Prepares", "Tested", "tested"]


@runtime_checkable
class HasEndpoint(Protocol):
    """An adapter's object that knows the services of its web application.

    The harness runs them with an engine of its own; the one of the application need not be started. What handlers
    need of the application (its settings, its dependencies) is the adapter's business, as it is in production.
    """

    @property
    def endpoint(self) -> Any:
        """The `durably.Endpoint` that the services are bound to."""
        ...


@runtime_checkable
class HasLink(Protocol):
    """An adapter's object that has its endpoint at its link to the runtime."""

    @property
    def link(self) -> HasEndpoint:
        """The link."""
        ...


@runtime_checkable
class Prepares(HasEndpoint, Protocol):
    """An adapter's object that finds services when it is told to, and starts nothing by it."""

    def prepare(self) -> None:
        """Find all services, and make their handlers ready."""
        ...


@dataclass(frozen=True, slots=True)
class Tested:
    """What runs in a harness.

    Attributes:
        app: The ASGI application.
        endpoint: Its services, where they are known.
        given_codec: The codec of its journaled values, or the function that builds it, or None.
        codec: The same, built once.
    """

    app: Any
    endpoint: Endpoint | None
    given_codec: JournalValueCodec | JournalValueCodecProvider | None
    codec: CodecSource


def tested(app_or_services: Any, codec: JournalValueCodec | JournalValueCodecProvider | None) -> Tested:
    """Make an application of what a test gave.

    Args:
        app_or_services: An ASGI application, a service, several services, an endpoint, or an adapter's object.
        codec: The codec of an application that does not tell its own, or None.

    Raises:
        UsageError: It is none of these.
        RegistrationError: Two services have the same name.
    """
    given = app_or_services
    if isinstance(given, Prepares):  # first: to ask for a link may start the application's own runtime
        given.prepare()
        given = given.endpoint
    if isinstance(given, HasLink):
        given = given.link.endpoint
    if isinstance(given, AsgiApp):
        endpoint = cast("Endpoint", given.endpoint)
        if codec is None:
            return Tested(given, endpoint, endpoint.journal_value_codec, endpoint.codec_source)
        return Tested(given, endpoint, codec, CodecSource(codec))
    if not isinstance(given, Endpoint) and isinstance(given, HasEndpoint):
        given = given.endpoint
    if isinstance(given, DefinedService):
        given = [given]
    if isinstance(given, Iterable):
        services: list[Any] = [*cast("Iterable[Any]", given)]  # type: ignore[redundant-cast]
        given = Endpoint().bind(*services)
        if codec is not None:
            given.set_journal_value_codec(codec)
    if isinstance(given, Endpoint):
        app = given.app(replace(DEFAULT_HOSTING, unsigned=Unsigned.ACCEPT, blocked_after=None))
        return Tested(app, given, given.journal_value_codec, given.codec_source)
    if callable(given):
        return Tested(given, None, codec, CodecSource(codec))
    raise UsageError(
        f"A harness cannot run {given!r}.", hint="Give it services, an application, or the adapter's object."
    )
