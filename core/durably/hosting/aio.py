"""Drives one attempt of an `async def` handler over an ASGI stream.

Owns the connection of an attempt and the order of its life: feed the journal, run the handler in the
server's own task, write the outcome, wait until the runtime closed its side, end the response.

No decision of the protocol is made here: the machine says when to wait, to execute or to suspend.

Rules
1. While the handler waits for nothing but the runtime, its own task reads the connection. From the
   first moment it waits for something else, a task of ours reads it in the background.
2. One `send` at a time: output goes out in the order in which it was written.
3. The response never ends before the request did. hypercorn fails the whole connection otherwise.
4. After the peer is gone the handler is unwound with a cancellation, nothing is sent any more, and
   `receive` is not called again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import copy_context
from types import coroutine
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.async_driver import AsyncDriver
from durably.authoring.attempt import new_context, write_error, write_result
from durably.authoring.current import current_attempt
from durably.authoring.drivers import Disconnected
from durably.authoring.replay_logging import attempt_logger
from durably.authoring.tasks import note_tasks_of_handlers
from durably.errors import ProtocolError
from durably.hosting.deadlines import Deadline, deadlines_of
from durably.hosting.request_log import Refusal, request_log
from durably.hosting.watchdog import watchdog_of_running_loop

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.authoring.endpoint import Endpoint
    from durably.authoring.handlers import Handler
    from durably.machine import Machine

__all__ = ["AsgiChannel", "run_attempt"]

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_LAST_CHUNK: Final[Event] = {"type": "http.response.body", "body": b"", "more_body": False}
_UNWIND_LIMIT_S: Final = 5.0  # how long cancelled tasks of a handler may take to clean up
_DRAIN_LIMIT_S: Final = 60.0  # a server that never tells the end of a request keeps a stream no longer than this


class AsgiChannel:
    """The connection of one attempt; see `durably.authoring.drivers.AsyncChannel`.

    Attributes:
        is_lost: Whether the peer is gone.
        has_ended: Whether the request body has ended.
        on_input: As the protocol says.
    """

    __slots__ = (
        "_arrived",
        "_is_inside",
        "_is_sending",
        "_machine",
        "_path",
        "_reader",
        "_receive",
        "_send",
        "_sender",
        "_sent",
        "_waiting",
        "has_ended",
        "is_lost",
        "on_input",
    )

    def __init__(self, machine: Machine, receive: Receive, send: Send, path: str = "") -> None:
        """Connect `machine` with the ASGI callables; the response head was sent. `path` is for the log."""
        self._machine = machine
        self._path = path
        self._receive = receive
        self._send = send
        self._is_inside = False  # the handler's task waits for the connection itself
        self._is_sending = False
        self._arrived = False
        self._reader: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._sent: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.is_lost: bool = False
        self.has_ended: bool = False
        self.on_input: Callable[[], None] | None = None

    async def flush(self) -> None:
        """Send what the machine has written, unless a send under way takes it along."""
        if self._is_sending:
            return
        data = self._machine.data_to_send()
        if not data:
            return
        self._is_sending = True
        try:
            while data and not self.is_lost:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
                data = self._machine.data_to_send()
        except asyncio.CancelledError:
            self.is_lost = True  # nobody knows how much of it was sent
            raise
        finally:
            self._is_sending = False
            if self._sent is not None:
                self._sent.set_result(None)
                self._sent = None

    async def receive_once(self) -> None:
        """Feed one event to the machine; without one to come, as after the end, wait for ever.

        Raises:
            ProtocolError: The peer broke the protocol; the machine holds the answer.
        """
        self._take(await self._receive())

    def _take(self, event: Event) -> None:
        if event["type"] == "http.disconnect":
            self.is_lost = True
            return
        if self.has_ended:
            return
        body = event.get("body")
        self.has_ended = not event.get("more_body", False)
        if body:
            self._machine.receive_data(body)
        if self.has_ended and not self._machine.input_closed:
            self._machine.receive_eof()

    async def exchange(self) -> None:
        """Flush, then return once the machine received input, or `wake` was called."""
        if self.is_lost:
            raise Disconnected
        self._is_inside = True
        data = b""
        try:
            if self._reader is None and not self.has_ended:
                # Nobody else reads or writes.
                data = self._machine.data_to_send()
                if data:
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
                    data = b""
                self._take(await self._receive())
            else:
                await self.flush()
                if not self._arrived:
                    self._watch()
                    waiting = self._waiting = asyncio.get_running_loop().create_future()
                    await waiting
                self._arrived = False
                self._waiting = None
        except asyncio.CancelledError:
            if data:
                self.is_lost = True  # nobody knows how much of it was sent
            raise
        except OSError as error:
            self._lose(error)
        finally:
            self._is_inside = False
        if self.is_lost:
            raise Disconnected

    def wake(self) -> None:
        """Let `exchange` return."""
        self._arrived = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def is_inside(self) -> bool:
        """Whether the handler's task waits for the connection itself."""
        return self._is_inside

    def read_ahead(self) -> None:
        """Receive in the background from now on, and send what is written."""
        if self._watch():
            return
        if self._sender is None and not self._is_sending:
            self._sender = _create_task(self._flush_aside())

    def _watch(self) -> bool:
        """Read in the background: input, and after its end the loss of the connection. False when that is done."""
        if self._reader is not None or self.is_lost:
            return False
        self._reader = _create_task(self._read())
        return True

    async def _flush_aside(self) -> None:
        try:
            await self.flush()
        except OSError as error:
            self._lose(error)
        finally:
            self._sender = None

    async def _read(self) -> None:
        try:
            await self.flush()
            had_ended = False
            while not self.is_lost and not had_ended:
                had_ended = self.has_ended  # one more event is due after the end, and it tells the disconnect
                await self.receive_once()
                self._notify()
        except OSError as error:
            self._lose(error)
        except ProtocolError as error:
            # Rate limited, escaped and cut: the text may be the peer's.
            reason = f"the runtime broke the protocol: {error.message}"
            request_log.refused(Refusal.MALFORMED_BODY, status=200, path=self._path, peer=None, reason=reason)
            self._notify()

    def _lose(self, error: OSError) -> None:
        attempt_logger.debug("The peer went away: %s", error)
        self.is_lost = True
        self._notify()

    def _notify(self) -> None:
        self.wake()
        if self.on_input is not None and not self._is_inside:
            self.on_input()

    async def finish(self, task: asyncio.Task[Any]) -> None:
        """Send what is left, wait until the request ended, and end the response."""
        if self._is_sending:
            self._sent = asyncio.get_running_loop().create_future()
            await self._sent
        await self.flush()
        await self._drain(task)
        if not self.is_lost:
            await self._send(_LAST_CHUNK)

    @property
    def _is_open(self) -> bool:
        return not self.has_ended and not self.is_lost

    async def _drain(self, task: asyncio.Task[Any]) -> None:
        """Read the request away until it ends, for a bounded time."""
        if not self._is_open:
            return
        try:
            with Deadline(deadlines_of(task.get_loop(), _DRAIN_LIMIT_S), task):
                while self._is_open:
                    if self._reader is None or self._reader.done():
                        await self.receive_once()
                    else:
                        # The reader goes on after the end of the request, until the connection is lost.
                        waiting = self._waiting = asyncio.get_running_loop().create_future()
                        await waiting
        except TimeoutError:
            attempt_logger.warning("A request did not end %.0f s after its answer.", _DRAIN_LIMIT_S)

    def close(self) -> None:
        """Stop reading."""
        for task in (self._reader, self._sender):
            if task is not None:
                task.cancel()
        self.on_input = None


def _create_task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run `work` in a task that is ours, not one of the handler's, and that never starts eagerly."""
    variables = copy_context()
    variables.run(current_attempt.set, None)
    return asyncio.Task(work, loop=asyncio.get_running_loop(), context=variables)


async def run_attempt(
    handler: Handler,
    endpoint: Endpoint,
    machine: Machine,
    attempt_headers: dict[str, str],
    receive: Receive,
    send: Send,
) -> None:
    """Run one attempt whose response head was sent; returns when its stream may end.

    Never raises because of the peer or the handler. A cancellation from the server passes through,
    after the handler was unwound.

    Source: service protocol, "Closing an invocation stream".
    """
    task = asyncio.current_task()
    if task is None or not hasattr(task, "_fut_waiter"):
        # Some servers step coroutines by themselves; waiting needs a task of asyncio's.
        await asyncio.get_running_loop().create_task(
            run_attempt(handler, endpoint, machine, attempt_headers, receive, send)
        )
        return
    channel = AsgiChannel(machine, receive, send, _path(handler))
    try:
        try:
            while not machine.is_ready_to_execute and not channel.is_lost:
                await channel.receive_once()
            if not channel.is_lost:
                await _run_handler(handler, endpoint, machine, attempt_headers, channel, task)
        except ProtocolError as error:
            _log_refused(handler, error)
        if not channel.is_lost:
            await channel.finish(task)
    except ProtocolError as error:
        # Garbage after the terminal message, while the rest of the request was read.
        _log_refused(handler, error)
        await send(_LAST_CHUNK)
    finally:
        channel.close()


def _log_refused(handler: Handler, error: ProtocolError) -> None:
    request_log.refused(Refusal.MALFORMED_BODY, status=200, path=_path(handler), peer=None, reason=error.message)


def _path(handler: Handler) -> str:
    return f"/invoke/{handler.service_name}/{handler.name}"


async def _run_handler(
    handler: Handler,
    endpoint: Endpoint,
    machine: Machine,
    attempt_headers: dict[str, str],
    channel: AsgiChannel,
    task: asyncio.Task[Any],
) -> None:
    codecs = endpoint.codec_source
    codec = await codecs.get() if codecs.is_pending else codecs.codec
    context = new_context(handler, endpoint, machine, attempt_headers, codec)
    driver = context.driver = AsyncDriver(context, machine, channel, task)
    note_tasks_of_handlers(task.get_loop())
    watchdog = watchdog_of_running_loop()
    watchdog.enter(driver)
    token = current_attempt.set(context)
    try:
        value = await _guarded(_call(handler, context), channel)
        write_result(context, value)
    except asyncio.CancelledError as error:
        if driver.take_back_abort() > 0:
            raise
        if driver.aborting is None:
            write_error(context, error)  # it waited for something that was cancelled, and was not itself
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if not channel.is_lost:
            write_error(context, error)
    finally:
        channel.on_input = None
        driver.take_back_abort()
        watchdog.leave(driver)
        current_attempt.reset(token)
        if driver.has_tasks:
            await _unwind(driver, context)
        context.finish()


async def _call(handler: Handler, context: Context) -> Any:
    """Decode the input and call the handler inside its context managers."""
    argument = None
    if handler.takes_input:
        body = context.input_body
        argument = handler.decode_input(body if context.codec is None else await context.codec.decode(body))
    if not handler.context_managers:
        try:
            return await handler.invoke(context, argument)
        finally:
            if context.extension_data:
                await _close_extensions(context.extension_data)
    async with AsyncExitStack() as stack:
        for manager in handler.context_managers:
            entered = manager()
            if isinstance(entered, AbstractAsyncContextManager):
                await stack.enter_async_context(entered)
            else:
                stack.enter_context(entered)
        stack.push_async_callback(_close_extensions_of, context)
        return await handler.invoke(context, argument)


async def _close_extensions_of(context: Context) -> None:
    if context.extension_data:
        await _close_extensions(context.extension_data)


async def _close_extensions(data: dict[str, Any]) -> None:
    for key, value in data.items():
        close = getattr(value, "__close__", None)
        if close is None:
            continue
        try:
            result = close()
            if inspect.isawaitable(result):
                await result
        except Exception:
            attempt_logger.exception("Closing the extension data %r failed.", key)
    data.clear()


@coroutine
def _guarded(handler: Coroutine[Any, Any, Any], channel: AsgiChannel) -> Generator[Any, Any, Any]:
    """Run `handler` in this task, and read the connection aside while it waits for something else."""
    send, throw = handler.send, handler.throw
    resume: Callable[[Any], Any] = send
    argument: Any = None
    while True:
        try:
            waited_for = resume(argument)
        except StopIteration as finished:
            return finished.value
        if not channel.is_inside:
            channel.read_ahead()
        try:
            argument = yield waited_for
            resume = send
        except BaseException as error:
            argument = error
            resume = throw


async def _unwind(driver: AsyncDriver, context: Context) -> None:
    """Cancel the tasks that the handler left behind, and give them time to clean up."""
    tasks = driver.tasks_to_cancel()
    for task in tasks:
        task.cancel()
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=_UNWIND_LIMIT_S)
        if pending:
            attempt_logger.warning(
                "%s: %d tasks of the handler did not end within %.0f s after they were cancelled.",
                context.describe(),
                len(pending),
                _UNWIND_LIMIT_S,
            )
