"""Drives one attempt of a `def` handler on the current thread.

Owns the order of its life: feed the journal, run the handler, write the outcome, hand over what is
left. The host owns the bytes; see `durably.authoring.drivers.BlockingIO`.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, cast

from durably.authoring.attempt import new_context, write_error, write_result
from durably.authoring.blocking_driver import BlockingDriver
from durably.authoring.codec import decode_blocking
from durably.authoring.current import current_attempt
from durably.authoring.drivers import BlockingIO, Disconnected
from durably.authoring.replay_logging import attempt_logger
from durably.errors import ConfigurationError, ProtocolError, SdkInternalBaseException

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.authoring.endpoint import Endpoint
    from durably.authoring.handlers import Handler
    from durably.machine import Machine

__all__ = ["run_sync_attempt"]


def run_sync_attempt(
    handler: Handler, endpoint: Endpoint, machine: Machine, attempt_headers: dict[str, str], io: BlockingIO
) -> None:
    """Run one attempt; returns when everything it wrote was handed to `io.send`.

    The machine may have been fed before. Never raises because of the handler or of what the peer sent.

    Raises:
        Disconnected: The runtime went away; the handler was unwound.
    """
    try:
        while not machine.is_ready_to_execute and not machine.is_closed:
            data = io.receive()
            if data is None:
                machine.receive_eof()
            else:
                machine.receive_data(data)
        if machine.is_ready_to_execute:
            _run_handler(handler, endpoint, machine, attempt_headers, io)
    except ProtocolError as error:
        # Escaped and cut: the text may be the peer's.
        attempt_logger.warning("%s/%s: %.300s", handler.service_name, handler.name, ascii(error.message))
    output = machine.data_to_send()
    if output:
        io.send(output)


def _run_handler(
    handler: Handler, endpoint: Endpoint, machine: Machine, attempt_headers: dict[str, str], io: BlockingIO
) -> None:
    codec = endpoint.codec_source.get_blocking()
    context = new_context(handler, endpoint, machine, attempt_headers, codec)
    context.driver = BlockingDriver(context, machine, io)
    io.when_disconnected(context.attempt_finished.set)
    token = current_attempt.set(context)
    try:
        write_result(context, _call(handler, context))
    except SdkInternalBaseException as signal:
        if context.ended is None:
            write_error(context, signal)
    except (Disconnected, KeyboardInterrupt):
        raise
    except BaseException as error:
        write_error(context, error)
    finally:
        current_attempt.reset(token)
        context.finish()


def _call(handler: Handler, context: Context) -> Any:
    argument = None
    if handler.takes_input:
        body = context.input_body
        argument = handler.decode_input(body if context.codec is None else decode_blocking(context.codec, body))
    with ExitStack() as stack:
        for manager in handler.context_managers:
            stack.enter_context(_synchronous(manager(), handler))
        stack.callback(_close_extensions, context)
        return handler.invoke(handler.context_class(context), argument)


def _synchronous(manager: object, handler: Handler) -> AbstractContextManager[Any]:
    if not hasattr(manager, "__enter__"):
        raise ConfigurationError(
            f"{handler.service_name}/{handler.name} is a def handler with an asynchronous context manager,"
            f" {type(manager).__name__}.",
            hint="Give it a synchronous one, or make the handler async def.",
        )
    return cast("AbstractContextManager[Any]", manager)


def _close_extensions(context: Context) -> None:
    data = context.extension_data or {}
    for key, value in data.items():
        close = getattr(value, "__close__", None)
        if close is None:
            continue
        try:
            result = close()
            if inspect.iscoroutine(result):
                result.close()
                attempt_logger.warning("The extension data %r has an asynchronous __close__ in a def handler.", key)
        except Exception:
            attempt_logger.exception("Closing the extension data %r failed.", key)
    data.clear()
