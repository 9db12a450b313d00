"""What the engine asks of a way to reach a service, and how that way fails.

Owns the two interfaces that an attempt is driven through, and the typed failures. One `AttemptStream` is one HTTP
exchange: bytes of the request go in, bytes of the response come out, both at the same time where the way can do
that. What the bytes mean is not known here.

Rules
1. One task sends and one task receives; `response` may be awaited by either. `abort` may come from anywhere.
2. `write` never waits, `send` waits while more than `HIGH_WATER_BYTES` of the request are on their way.
3. After `receive` returned None or raised, the exchange is over, and what is sent from then on is dropped.
4. A status that is not 2xx, a wrong content type and a lost connection all reach the reader as one `TransportError`.
5. Whoever opened a stream ends it, with `abort` unless `receive` has told its end. `abort` can be repeated.

Source: service protocol, "Endpoint HTTP surface".
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from durably.errors import DurablyError

__all__ = [
    "HIGH_WATER_BYTES",
    "AttemptStream",
    "DiscoveryError",
    "DiscoveryResult",
    "FailureKind",
    "HttpVersion",
    "HttpVersionError",
    "ResponseHead",
    "Transport",
    "TransportError",
]

# How much of a request, or of a response, may lie between the two sides of a stream before the faster one waits.
HIGH_WATER_BYTES: Final = 256 * 1024


class HttpVersion(enum.Enum):
    """What carries an exchange; the value is how the admin API shows it. In process counts as HTTP/2."""

    HTTP_1_1 = "HTTP/1.1"
    HTTP_2 = "HTTP/2.0"


class FailureKind(enum.Enum):
    """Why an exchange failed; the value is the documentation code that operators see."""

    UNAVAILABLE = "RT0010"  # not connected, connection lost, stream reset, 502, 504
    VIOLATION = "RT0012"  # another status, or a content type that is not the request's
    WRONG_VERSION = "RT0015"  # 415
    TOO_LARGE = "RT0019"  # 413
    BUSY = "RT0023"  # 429, 503


class TransportError(DurablyError):
    """An exchange with a service failed. It fails the attempt, which is retried; never a result.

    Attributes:
        kind: What happened; `kind.value` is the documentation code.
        code: The code of the attempt's failure: the response's HTTP status, else 500.
        retry_after_ms: What the service asked for with `retry-after`, or None. Replaces the next delay.
        is_refused: Whether the service did not take it, as far as one can tell: the attempt may be opened again at
            once, on a new connection, without counting it. Never true twice in a row for a service that is down.
        counts: False when it does not raise `retry_count_since_last_stored_entry`.

    Source: service protocol, "How the server interprets the invoke response status".
    """

    def __init__(
        self,
        message: str,
        *,
        kind: FailureKind = FailureKind.UNAVAILABLE,
        code: int = 500,
        retry_after_ms: int | None = None,
        is_refused: bool = False,
        hint: str | None = None,
    ) -> None:
        """Keep what the retry policy asks."""
        super().__init__(message, hint=hint)
        self.kind = kind
        self.code = code
        self.retry_after_ms = retry_after_ms
        self.is_refused = is_refused

    @property
    def counts(self) -> bool:
        """Whether it counts as a failure since the last stored entry."""
        return self.kind is not FailureKind.WRONG_VERSION


class HttpVersionError(TransportError):
    """The peer answered in a version of HTTP that cannot carry an attempt, or that was not asked for.

    Attributes:
        discovery_code: What it means at registration, such as `META0014`.
    """

    def __init__(self, message: str, *, discovery_code: str, hint: str) -> None:
        """Keep the code."""
        super().__init__(message, kind=FailureKind.UNAVAILABLE, hint=hint)
        self.discovery_code = discovery_code


class DiscoveryError(DurablyError):
    """A deployment cannot be registered. Nothing was stored.

    Attributes:
        code: Such as `META0014`; the admin API shows it.
    """

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        """Keep the code."""
        super().__init__(message, hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers of a response.

    Attributes:
        headers: Names in lower case, in the order received.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    http_version: HttpVersion = HttpVersion.HTTP_2

    def header(self, name: str) -> str | None:
        """Give the first header with this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def server(self) -> str | None:
        """The SDK that answered, as `durably/0.1.0`."""
        return self.header("x-restate-server")


@dataclass(frozen=True, slots=True)
class DiscoveryResult:
    """The answer to a discovery request, complete and with status 200, not looked at yet.

    Attributes:
        body: The manifest's JSON.
        content_type: As received; `""` when there was none.
        http_version: Attempts use the same.
        server: The SDK that answered, or None.
    """

    body: bytes
    content_type: str
    http_version: HttpVersion
    server: str | None


class AttemptStream(Protocol):
    """One exchange with a service; see the rules above."""

    def write(self, data: bytes) -> None:
        """Add to the request without waiting; dropped when the exchange is over."""
        ...

    async def send(self, data: bytes) -> None:
        """Add to the request; wait while too much of it is on its way. Returns at once when the exchange is over."""
        ...

    async def half_close(self) -> None:
        """End the request after what was sent. Can be repeated. Does not wait for the peer."""
        ...

    async def receive(self) -> bytes | None:
        """Give the next part of the response's body, of any size but not empty; None is its end.

        Raises:
            TransportError: The exchange failed; it is over.
        """
        ...

    async def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give every part that `receive` would give to `take`, as soon as it is there, until that gives False.

        `take` is called by whoever brings the part, which spares a hop from task to task; it must not wait.

        Returns:
            Whether `take` gave False. Otherwise the response has ended.

        Raises:
            TransportError: The exchange failed; it is over.
            Exception: What `take` raised.
        """
        ...

    async def response(self) -> ResponseHead:
        """Wait for the response's head, whatever its status.

        Raises:
            TransportError: The exchange failed before there was one.
        """
        ...

    async def abort(self) -> None:
        """Cut the exchange, if it is not over; returns once nothing of it is left on this side."""
        ...


class Transport(Protocol):
    """A way to one deployment."""

    async def open(
        self, path: str, headers: Sequence[tuple[str, str]], *, streaming: bool = True, method: str = "POST"
    ) -> AttemptStream:
        """Start an exchange.

        Args:
            path: From the deployment's root, starting with a slash, already percent-encoded.
            headers: Lower-case names. With a `content-type` the response must carry exactly the same one.
            streaming: Whether request and response will overlap; a hint.
            method: `GET` has no body.

        Raises:
            TransportError: There is no connection to be had.
        """
        ...

    async def discover(self, headers: Sequence[tuple[str, str]] = ()) -> DiscoveryResult:
        """Ask for the manifest, with `headers` beside the ones that it needs.

        Raises:
            DiscoveryError: No answer with status 200, after retries where that helps.
        """
        ...

    async def close(self) -> None:
        """Cut what is open and give back what is held. Can be repeated."""
        ...
