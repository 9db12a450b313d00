"""What the asynchronous and the synchronous contract services share: payload shapes, counters, small conversions.

Owns everything that is independent of how a handler waits. Field names are the contract's and are not ours to choose.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter as Tally
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NotRequired

from typing_extensions import TypedDict

__all__ = [
    "AwakeableRejection",
    "AwakeableResolution",
    "CounterUpdate",
    "Entry",
    "FailureRequest",
    "InterpretRequest",
    "ManyCallsRequest",
    "ProxyRequest",
    "SignalRejection",
    "SignalResolution",
    "attempts",
    "body_of",
    "concurrent_blocks",
    "delay_of",
    "generation",
    "octets_of",
]


class CounterUpdate(TypedDict):
    """What adding to a counter did."""

    oldValue: int
    newValue: int


class Entry(TypedDict):
    """One entry of a map object."""

    key: str
    value: str


class FailureRequest(TypedDict):
    """How a handler is to fail."""

    errorMessage: str
    metadata: NotRequired[dict[str, str] | None]


class ProxyRequest(TypedDict):
    """A call that a proxy makes for its caller; bytes travel as a JSON array of numbers."""

    serviceName: str
    virtualObjectKey: NotRequired[str | None]
    handlerName: str
    message: list[int]
    delayMillis: NotRequired[int | None]
    idempotencyKey: NotRequired[str | None]
    scope: NotRequired[str | None]
    limitKey: NotRequired[str | None]


class ManyCallsRequest(TypedDict):
    """One of several calls that a proxy makes in order."""

    proxyRequest: ProxyRequest
    oneWayCall: bool
    awaitAtTheEnd: bool


class SignalResolution(TypedDict):
    """A signal to send with a value."""

    invocationId: str
    signalName: str
    value: str


class SignalRejection(TypedDict):
    """A signal to send with a failure."""

    invocationId: str
    signalName: str
    reason: str


class AwakeableResolution(TypedDict):
    """An awakeable to resolve; callers may leave the command's tag in the body."""

    type: NotRequired[str]
    awakeableKey: str
    value: str


class AwakeableRejection(TypedDict):
    """An awakeable to reject; callers may leave the command's tag in the body."""

    type: NotRequired[str]
    awakeableKey: str
    reason: str


class InterpretRequest(TypedDict):
    """A list of commands, each tagged by `type`."""

    commands: list[dict[str, Any]]


class AttemptCounters:
    """Counts that live as long as this process, one for each (name, object key).

    Handlers that must fail a certain number of times count here. A count for each key keeps scenarios that run at the
    same time from taking attempts from each other.
    """

    def __init__(self) -> None:
        """Begin with no counts."""
        self._counts: Tally[tuple[str, str]] = Tally()
        self._lock = threading.Lock()

    def next(self, name: str, key: str) -> int:
        """Count one more and give the new count."""
        with self._lock:
            self._counts[name, key] += 1
            return self._counts[name, key]

    def value(self, name: str, key: str) -> int:
        """Give the count without changing it."""
        with self._lock:
            return self._counts[name, key]

    def reset(self, name: str, key: str) -> None:
        """Begin again at zero."""
        with self._lock:
            del self._counts[name, key]


class ConcurrencyGauge:
    """How many callers are inside at once for each name, and the most that ever were."""

    def __init__(self) -> None:
        """Begin with nobody inside."""
        self._inside: Tally[str] = Tally()
        self._most: Tally[str] = Tally()
        self._lock = threading.Lock()

    def enter(self, name: str) -> None:
        """Count one more inside."""
        with self._lock:
            self._inside[name] += 1
            self._most[name] = max(self._most[name], self._inside[name])

    def leave(self, name: str) -> None:
        """Count one less inside."""
        with self._lock:
            self._inside[name] -= 1

    def most(self, name: str) -> int:
        """Give the most that were inside at once."""
        with self._lock:
            return self._most[name]


attempts = AttemptCounters()
concurrent_blocks = ConcurrencyGauge()


def generation() -> int:
    """Name the process that runs this code: after a crash and a restart the number is another one."""
    return os.getpid()


def octets_of(message: Iterable[int]) -> bytes:
    """Turn a JSON array of signed or unsigned byte values into bytes."""
    return bytes(octet & 0xFF for octet in message)


def delay_of(request: ProxyRequest) -> timedelta | None:
    """Give the delay of a proxied one-way call, or None."""
    delay_ms = request.get("delayMillis")
    return timedelta(milliseconds=delay_ms) if delay_ms else None


def body_of(value: str) -> bytes:
    """Encode text as the JSON string that a handler of the contract takes."""
    return json.dumps(value).encode()
