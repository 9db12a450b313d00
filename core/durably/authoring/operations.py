"""The core of a context: the attempt it belongs to, and how operations on it fail.

Owns what all operations share. The operations themselves stand in mixins over this class (`steps`,
`signals`, `invocations`, `calls`), and `contexts` puts them together.

A context belongs to one attempt. Once that was suspended or has failed, every operation raises the
same signal again, so that a handler which swallowed it cannot write to the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from durably.authoring.drivers import ENDED_DRIVER
from durably.authoring.futures import DurableFuture, closed_misuse
from durably.authoring.probes import probe
from durably.authoring.replay_logging import attempt_logger
from durably.authoring.request import AttemptFinishedEvent, Request
from durably.errors import (
    ProtocolError,
    SdkInternalBaseException,
    SdkInternalException,
    SuspendedException,
    UsageError,
)
from durably.serde import DefaultSerde, Serde, resolve_serde

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec
    from durably.authoring.drivers import Driver
    from durably.authoring.failures import FailureMap
    from durably.authoring.handlers import Handler
    from durably.authoring.turns import Turns
    from durably.machine import InvocationInput, Machine

__all__ = ["DEFAULT_SERDE", "Operations", "milliseconds", "wall_clock_ms"]

T = TypeVar("T")

DEFAULT_SERDE: Final[Serde[Any]] = DefaultSerde()
_MILLISECOND: Final = timedelta(milliseconds=1)


class Operations:
    """What every operation of an attempt needs.

    Attributes:
        machine: The attempt's state machine.
        handler: The handler that runs.
        driver: How to wait; set by the host before the handler runs.
        turns: Who waits instead while the handler has more than one task, or None.
        attempt_headers: Headers of this attempt's HTTP request, lower-case names.
        codec: What changes values on their way to the journal, or None.
        failure_maps: Which exceptions are terminal: the handler's map, then the endpoint's.
        ended: What ended the attempt, or None while it goes on.
        extension_data: What extensions keep with the attempt, or None before the first.
        to_decode: Values that the codec has to decode before their futures are settled, or None.
    """

    __slots__ = (
        "_finished",
        "_input",
        "_random",
        "attempt_headers",
        "codec",
        "driver",
        "ended",
        "extension_data",
        "failure_maps",
        "handler",
        "machine",
        "to_decode",
        "turns",
    )

    machine: Machine
    handler: Handler
    driver: Driver
    turns: Turns | None
    ended: SdkInternalBaseException | None
    extension_data: dict[str, Any] | None

    def __init__(
        self,
        machine: Machine,
        handler: Handler,
        invocation: InvocationInput,
        attempt_headers: dict[str, str],
        *,
        codec: JournalValueCodec | None,
        failure_maps: Sequence[FailureMap],
    ) -> None:
        """Start an attempt's context; the host sets `driver` before the handler runs."""
        self.machine = machine
        self.handler = handler
        self._input = invocation
        self.attempt_headers: dict[str, str] = attempt_headers
        self.codec: JournalValueCodec | None = codec
        self.failure_maps: Sequence[FailureMap] = failure_maps
        self.turns = None
        self.ended = None
        self.extension_data = None
        self.to_decode: list[tuple[DurableFuture[Any], bytes, Callable[[bytes], Any]]] | None = None
        self._random: Random | None = None
        self._finished: AttemptFinishedEvent | None = None

    # The request

    def request(self) -> Request:
        """Give the request that started the invocation; a new object each time."""
        invocation = self._input
        return Request(
            id=invocation.debug_id,
            headers=dict(invocation.headers),
            attempt_headers=self.attempt_headers,
            body=invocation.body,
            attempt_finished_event=self.attempt_finished,
            scope=invocation.scope,
            limit_key=invocation.limit_key,
            idempotency_key=invocation.idempotency_key,
        )

    @property
    def attempt_finished(self) -> AttemptFinishedEvent:
        """The event that is set once this attempt is over."""
        if self._finished is None:
            self._finished = AttemptFinishedEvent()
        return self._finished

    @property
    def invocation_id(self) -> str:
        """The invocation's id, `inv_1…`."""
        return self._input.debug_id

    @property
    def input_body(self) -> bytes:
        """The input's bytes, as recorded."""
        return self._input.body

    @property
    def is_replaying(self) -> bool:
        """Whether the handler is still following recorded entries. For logging, never for decisions."""
        return self.machine.is_replaying

    # For futures and drivers

    def decode_later(self, future: DurableFuture[T], payload: bytes, decode: Callable[[bytes], T]) -> None:
        """Let the driver decode `payload` with the journal value codec and then settle `future`."""
        if self.to_decode is None:
            self.to_decode = []
        self.to_decode.append((future, payload, decode))

    def encoded(self, value: Any, serde: Serde[Any]) -> bytes:
        """Serialize a value for the journal, by its own type where the serde does not fix one."""
        payload = resolve_serde(serde, None if value is None else type(value)).serialize(value)
        return payload if self.codec is None else self.codec.encode(payload)

    def broken(self, error: ProtocolError) -> SdkInternalBaseException:
        """End the attempt because of `error`; give the signal to raise."""
        if not closed_misuse(error):
            attempt_logger.error("%s: %s", self.invocation_id, error)
            if not self.machine.is_closed:
                self.machine.fail(code=error.code, message=str(error))
        return self.end(SdkInternalException(error.message))

    def end(self, signal: SdkInternalBaseException) -> SdkInternalBaseException:
        """Let every further operation raise: give the signal to raise now."""
        if self.ended is None:
            self.ended = signal
            return signal
        return SuspendedException() if isinstance(self.ended, SuspendedException) else SdkInternalException()

    def lose(self, machine: Machine) -> None:
        """Let every further operation raise: the runtime went away, and will run the handler again."""
        lost = SdkInternalException("The connection to the runtime was lost.")
        self.end(lost)
        machine.fail(message=lost.args[0])  # nobody will read it, but nothing is executed any more

    def finish(self) -> None:
        """Tell whoever waits for it that the attempt is over, and let go of the driver."""
        self.driver = ENDED_DRIVER
        if self._finished is not None:
            self._finished.set()

    def describe(self) -> str:
        """Name the handler and the invocation for operators."""
        return f"{self.handler.service_name}/{self.handler.name} {self._input.debug_id}"

    @property
    def _object_key(self) -> str:
        return self._input.key


def wall_clock_ms() -> int:
    """Give the time in whole milliseconds since the epoch."""
    watching = probe.get()
    return time.time_ns() // 1_000_000 if watching is None else watching.now_ms()


def milliseconds(delta: timedelta, operation: str) -> int:
    """Give `delta` in whole milliseconds.

    Raises:
        UsageError: It is negative, or no timedelta.
    """
    try:
        result = delta // _MILLISECOND
    except TypeError as error:
        raise UsageError(
            f"{operation} was given {delta!r}, which is no timedelta.", hint="Write timedelta(seconds=…)."
        ) from error
    if result < 0:
        raise UsageError(f"{operation} was given a negative duration: {delta}.", hint="Give zero or more.")
    return result
