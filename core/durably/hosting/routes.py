"""The endpoint's route table: which request is answered how, for every web framework.

Owns recognition of paths, dispatch of methods, request identity, negotiation and every error answer. An ASGI or
WSGI application, or an adapter, turns its own request into a `Request`, calls `Routes.route`, and either sends the
`Answer` it gets or runs the `Invocation`. `{p}` is any prefix, so an endpoint can be mounted anywhere.

| method | path | result |
|---|---|---|
| GET, HEAD | `{p}/health` | 200; never identity-checked, names nothing |
| GET | `{p}/discover` | 200 with the manifest; 401, 415 or 500 |
| POST | `{p}/invoke/{service}/{handler}` | `Invocation`; 401, 415 or 404 |
| other | one of these | 405 |
| any | other | 404 |

Identity is verified before anything is looked up, so a bad token learns nothing about names, and against the path
that was matched rather than the one that was sent. The body is never touched here.

Source: service protocol, "Endpoint HTTP surface", "Request identity".
"""

from __future__ import annotations

import enum
import ipaddress
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from durably.errors import ConfigurationError, IdentityError, UnsupportedVersionError
from durably.hosting.options import DEFAULT_HOSTING, HostingOptions, Unsigned
from durably.hosting.request_log import Refusal, request_log
from durably.protocol.identity import RequestIdentity
from durably.protocol.manifest import ProtocolMode, manifest_content_type, negotiate_manifest, render_manifest
from durably.protocol.versions import ProtocolVersion, content_type_of, version_of_content_type

if TYPE_CHECKING:
    from durably.authoring.endpoint import Endpoint
    from durably.authoring.handlers import Handler

__all__ = [
    "Answer",
    "Invocation",
    "Request",
    "Routes",
    "internal_failure",
    "malformed_request",
    "response_head",
    "server_name",
]

HeaderList = Sequence[tuple[str, str]]

_logger = logging.getLogger(__name__)

_FORWARDING_HEADERS: Final = frozenset({"forwarded", "x-forwarded-for", "x-real-ip"})


class _RouteKind(enum.Enum):
    HEALTH = "health"
    DISCOVER = "discover"
    INVOKE = "invoke"


class Request(NamedTuple):
    """A request as far as routing needs it.

    Attributes:
        method: Upper case.
        path: Percent-decoded once, as servers hand it over; with or without a mount prefix.
        headers: Names in lower case, in the order received, doubled ones twice where the server keeps them apart.
        mode: What the server can do, see `durably.hosting.mode`.
        peer: The address of the other end of the connection, or None when the server tells none.
    """

    method: str
    path: str
    headers: HeaderList
    mode: ProtocolMode
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. `headers` has everything but `content-length`; names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


class Invocation(NamedTuple):
    """An attempt to run: answer 200 with `response_head(version)`, then stream.

    Attributes:
        handler: The registered handler.
        version: The service protocol version that the runtime chose.
        headers: The request's headers; of doubled ones the last.
        path: The path, for logs.
        peer: The other end, for logs.
    """

    handler: Handler
    version: ProtocolVersion
    headers: dict[str, str]
    path: str
    peer: str | None


class Routes:
    """The route table of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        options: HostingOptions = DEFAULT_HOSTING,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Serve `endpoint`; `clock` gives the seconds since the epoch that tokens are checked against."""
        self._endpoint = endpoint
        self._options = options
        self._clock = clock
        self._keys: tuple[str, ...] = endpoint.identity_keys
        self._identity = RequestIdentity(self._keys)
        self._warned = False

    def route(self, request: Request) -> Answer | Invocation:
        """Answer a request, or say which invocation it is.

        Never raises for what a peer sent.
        """
        kind, service, name = _match(request.method, request.path)
        match kind:
            case _RouteKind.INVOKE:
                return self._invoke(request, service, name)
            case _RouteKind.DISCOVER:
                return self._discover(request)
            case _RouteKind.HEALTH:
                return self._health(request)
            case None:
                return _refused(request, 404, Refusal.UNKNOWN_PATH, "not found")

    def _health(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return _wrong_method(request, "GET, HEAD")
        return _json_answer(200, {"status": "ok"})

    def _discover(self, request: Request) -> Answer:
        if request.method != "GET":
            return _wrong_method(request, "GET")
        refused = self._check_identity(request, "/discover")
        if refused is not None:
            return refused
        try:
            version = negotiate_manifest(_header(request.headers, "accept"))
            mode = self._endpoint.protocol_mode or self._options.mode or request.mode
            body = render_manifest(self._endpoint.manifest(mode), version)
        except UnsupportedVersionError as error:
            return _refused(request, 415, Refusal.UNSUPPORTED_VERSION, str(error))
        except ConfigurationError as error:
            return _refused(request, 500, Refusal.BAD_CONFIGURATION, str(error))
        return Answer(200, (("content-type", manifest_content_type(version)), _server_header()), body)

    def _invoke(self, request: Request, service: str, name: str) -> Answer | Invocation:
        if request.method != "POST":
            return _wrong_method(request, "POST")
        refused = self._check_identity(request, f"/invoke/{service}/{name}")
        if refused is not None:
            return refused
        headers = dict(request.headers)
        try:
            version = version_of_content_type(headers.get("content-type"))
        except UnsupportedVersionError as error:
            return _refused(request, 415, Refusal.UNSUPPORTED_VERSION, str(error))
        handler = self._endpoint.find(service, name)
        if handler is None:
            return _refused(request, 404, Refusal.UNKNOWN_HANDLER, "no such handler")
        return Invocation(handler, version, headers, request.path, request.peer)

    def _check_identity(self, request: Request, path: str) -> Answer | None:
        if self._endpoint.identity_keys is not self._keys:  # rotated
            self._keys = self._endpoint.identity_keys
            self._identity = RequestIdentity(self._keys)
        if not self._keys:
            return self._check_unsigned(request)
        try:
            self._identity.verify(request.headers, path, now=self._clock())
        except IdentityError as error:
            return _refused(request, 401, Refusal.NOT_SIGNED, str(error), "unauthorized")
        return None

    def _check_unsigned(self, request: Request) -> Answer | None:
        match self._options.unsigned:
            case Unsigned.ACCEPT:
                return None
            case Unsigned.WARN:
                if not self._warned:
                    self._warned = True
                    _logger.warning(
                        "This endpoint accepts unsigned requests: whoever can reach it can run its handlers."
                        " Set `identity_keys` to the public keys of your Restate Server, or keep it private."
                    )
                return None
            case Unsigned.LOOPBACK_ONLY:
                if _is_local(request):
                    return None
                reason = (
                    "the request is not signed and does not come from this machine; set `identity_keys`, or"
                    " `allow_unsigned=True` on a private network"
                )
                return _refused(request, 401, Refusal.NOT_SIGNED, reason, "unauthorized")


def response_head(version: ProtocolVersion) -> tuple[tuple[str, str], ...]:
    """Give the headers of a 200 that starts an invocation's stream; the content type is exactly the request's."""
    return (("content-type", content_type_of(version)), _server_header())


def internal_failure(path: str, peer: str | None, reason: str) -> Answer:
    """Give the answer for a failure of our own before the response started, and log it."""
    request_log.refused(Refusal.INTERNAL, status=500, path=path, peer=peer, reason=reason)
    return _json_answer(500, {"message": "internal error"})


def malformed_request(path: str, peer: str | None, reason: str) -> Answer:
    """Give the answer for a request whose body cannot be read at all, and log it."""
    request_log.refused(Refusal.MALFORMED_BODY, status=400, path=path, peer=peer, reason=reason)
    return _json_answer(400, {"message": reason})


def server_name() -> str:
    """Give the value of `x-restate-server`, by which a runtime shows who served an attempt."""
    return _server_header()[1]


def _match(method: str, path: str) -> tuple[_RouteKind | None, str, str]:
    parts = path.rsplit("/", 3)
    last = parts[-1]
    is_invoke = len(parts) == 4 and parts[1] == "invoke" and bool(parts[2]) and bool(last)
    # `{p}/invoke/{service}/health` and a prefix that ends in `invoke/x` look alike; the method tells them apart.
    if is_invoke and (method == "POST" or last not in ("discover", "health")):
        return _RouteKind.INVOKE, parts[2], last
    if len(parts) > 1 and last == "discover":
        return _RouteKind.DISCOVER, "", ""
    if len(parts) > 1 and last == "health":
        return _RouteKind.HEALTH, "", ""
    return None, "", ""


def _header(headers: HeaderList, name: str) -> str | None:
    values = [value for key, value in headers if key == name]
    return ", ".join(values) if values else None


def _is_local(request: Request) -> bool:
    # A proxy on this machine makes every peer look local, so a request that says it was forwarded is not.
    if request.peer is None or any(name in _FORWARDING_HEADERS for name, _ in request.headers):
        return False
    try:
        address = ipaddress.ip_address(request.peer.split("%", 1)[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _wrong_method(request: Request, allowed: str) -> Answer:
    answer = _refused(request, 405, Refusal.WRONG_METHOD, "method not allowed")
    return Answer(answer.status, (*answer.headers, ("allow", allowed)), answer.body)


def _refused(request: Request, status: int, kind: Refusal, reason: str, public: str | None = None) -> Answer:
    request_log.refused(kind, status=status, path=request.path, peer=request.peer, reason=reason)
    return _json_answer(status, {"message": reason if public is None else public})


def _json_answer(status: int, content: dict[str, str]) -> Answer:
    body = json.dumps(content, separators=(",", ":")).encode()
    return Answer(status, (("content-type", "application/json"), _server_header()), body)


_SERVER_HEADER: list[tuple[str, str]] = []


def _server_header() -> tuple[str, str]:
    if not _SERVER_HEADER:
        from importlib import metadata  # costs a tenth of the time that importing this package takes

        _SERVER_HEADER.append(("x-restate-server", f"durably/{metadata.version('durably')}"))
    return _SERVER_HEADER[0]
