"""The response side of one exchange: what arrived and was not taken yet.

Owns the hand-over from whoever produces a response (an application, a connection) to the one task that reads it, and
the rule that a head which is no good turns into a failure. Nothing here touches a socket.

Rules
1. What arrived before a failure is read before it; of a response with a bad head nothing is read.
2. The first end or failure wins; later ones are dropped.
3. What lies here is bounded by the producer: it looks at `buffered_bytes` and is told through `on_taken`.
4. A reader may leave a function that takes what arrives. It is called by whoever brings it, in the reader's context;
   what it raises is the reader's, and never reaches the producer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context

from durably.engine.transport.contract import ResponseHead, TransportError
from durably.engine.transport.statuses import failure_of_head

__all__ = ["Response"]


class Response:
    """What a service answers, while it arrives.

    Attributes:
        buffered_bytes: What arrived and was not taken.
        has_body: Whether any byte of its body arrived.
        is_over: Whether it has ended or failed; bytes may still be there to be taken.
    """

    __slots__ = (
        "_chunks",
        "_expected_type",
        "_failure",
        "_head",
        "_head_waiter",
        "_on_taken",
        "_reader",
        "_take",
        "_variables",
        "buffered_bytes",
        "has_body",
        "is_over",
    )

    def __init__(self, expected_type: str | None, on_taken: Callable[[int], None]) -> None:
        """Start empty.

        Args:
            expected_type: The content type that it must have; None accepts any status and type.
            on_taken: Called with the number of bytes that the reader took.
        """
        self._expected_type = expected_type
        self._on_taken = on_taken
        self._chunks: list[bytes] = []
        self._failure: TransportError | None = None
        self._head: ResponseHead | None = None
        self._head_waiter: asyncio.Future[None] | None = None
        self._reader: asyncio.Future[bool] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._variables: Context | None = None
        self.buffered_bytes: int = 0
        self.has_body: bool = False
        self.is_over: bool = False

    @property
    def has_head(self) -> bool:
        """Whether the head arrived."""
        return self._head is not None

    def start(self, head: ResponseHead) -> None:
        """Take the head."""
        if self._head is not None or self.is_over:
            return
        self._head = head
        if self._expected_type is not None:
            failure = failure_of_head(head, self._expected_type)
            if failure is not None:
                self.fail(failure)
        if self._head_waiter is not None:
            _wake(self._head_waiter)

    def feed(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.is_over or not data:
            return
        self.has_body = True
        if self._take is not None:
            self._pass(self._take, data)
            return
        self._chunks.append(data)
        self.buffered_bytes += len(data)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(False)

    def end(self) -> None:
        """Note that the body is complete."""
        self.is_over = True
        self._wake_all()

    def fail(self, failure: TransportError) -> None:
        """Note that nothing more will come, and why."""
        if self.is_over:
            return
        self._failure = failure
        self.is_over = True
        self._wake_all()

    async def receive(self) -> bytes | None:
        """Give all that is there, or wait for something; None is the end.

        Raises:
            TransportError: It failed.
        """
        while not self._chunks:
            if self.is_over:
                self._raise_failure()
                return None
            reader = self._reader = asyncio.get_running_loop().create_future()
            try:
                await reader
            finally:
                self._reader = None
        return self._taken()

    async def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give every part to `take` as it arrives, until that gives False; tell whether it did, or this is the end.

        Raises:
            TransportError: It failed.
            Exception: What `take` raised.
        """
        while True:
            while self._chunks:
                if not take(self._taken()):
                    return True
            if self.is_over:
                self._raise_failure()
                return False
            reader = self._reader = asyncio.get_running_loop().create_future()
            if self._variables is None:
                self._variables = copy_context()
            self._take = take
            try:
                if await reader:
                    return True
            finally:
                self._reader = self._take = None

    def _pass(self, take: Callable[[bytes], bool], data: bytes) -> None:
        """Give what arrived to the reader's function, and go on with the reader when that had enough."""
        reader, variables = self._reader, self._variables
        assert reader is not None
        assert variables is not None
        try:
            goes_on = variables.run(take, data)
        except Exception as error:
            self._take = None
            if not reader.done():
                reader.set_exception(error)
        else:
            if not goes_on:
                self._take = None
                if not reader.done():
                    reader.set_result(True)
        self._on_taken(len(data))

    def _taken(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered_bytes = 0
        self._on_taken(len(data))
        return data

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    async def head(self) -> ResponseHead:
        """Wait for the head.

        Raises:
            TransportError: It failed before.
        """
        while self._head is None:
            if self.is_over:
                raise (self._failure or TransportError("The response has no head.")).with_traceback(None)
            waiter = self._head_waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                self._head_waiter = None
        return self._head

    def _wake_all(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(False)
        if self._head_waiter is not None:
            _wake(self._head_waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
