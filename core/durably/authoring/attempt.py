"""One attempt from the handler's side: how it begins, and what its end means to the journal.

Owns what both drivers share: the machine and context of an attempt, and the translation of what a
handler returned or raised into Output and End, or into an Error that the runtime retries.
"""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from durably.authoring.failures import text_of
from durably.authoring.location import caller_location
from durably.authoring.probes import probe
from durably.authoring.replay_logging import attempt_logger
from durably.authoring.runs import describe, failure_from, outcome_of, status_of
from durably.errors import ProtocolError, RetryableError, SdkInternalBaseException, TerminalError
from durably.machine import Machine, MachineOptions
from durably.protocol.versions import ProtocolVersion

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec
    from durably.authoring.contexts import Context
    from durably.authoring.endpoint import Endpoint
    from durably.authoring.handlers import Handler

__all__ = ["new_context", "new_machine", "write_error", "write_result"]

_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=64)
def _explicit(options: MachineOptions) -> MachineOptions:
    return replace(options, implicit_cancellation=False)


def new_machine(handler: Handler, endpoint: Endpoint, version: ProtocolVersion) -> Machine:
    """Give the machine for an attempt of `handler`."""
    options = endpoint.machine_options
    if handler.explicit_cancellation:
        options = _explicit(options)
    watching = probe.get()
    return Machine(version, options, locate=caller_location) if watching is None else watching.machine(version, options)


def new_context(
    handler: Handler,
    endpoint: Endpoint,
    machine: Machine,
    attempt_headers: dict[str, str],
    codec: JournalValueCodec | None,
) -> Context:
    """Take the machine's input and give the context for it.

    The machine must be ready to execute. For `def` handlers this is the context behind `ctx.start`.
    """
    context_class: type[Context] = handler.context_class if handler.is_async else handler.context_class.operations
    return context_class(
        machine,
        handler,
        machine.take_input(),
        attempt_headers,
        codec=codec,
        failure_maps=(handler.failures, endpoint.failures),
    )


def write_result(context: Context, value: Any) -> None:
    """Complete the invocation with what the handler returned.

    A value that cannot be serialized fails the attempt.
    """
    machine = context.machine
    if context.ended is not None or machine.is_closed:
        _tell_swallowed(context, value)
        return
    try:
        payload = context.handler.encode_output(value)
    except Exception as error:
        write_error(context, error)
        return
    try:
        machine.sys_output(payload if context.codec is None else context.codec.encode(payload))
        machine.sys_end()
    except ProtocolError as error:
        context.broken(error)


def write_error(context: Context, error: BaseException) -> None:
    """End the attempt with what the handler raised: a terminal failure completes the invocation."""
    machine = context.machine
    if context.ended is not None or machine.is_closed:
        if not isinstance(error, SdkInternalBaseException | CancelledError):
            _tell_swallowed(context, error)
        return
    outcome = outcome_of(error, context)
    try:
        match outcome:
            case TerminalError():
                machine.sys_output(failure_from(outcome))
                machine.sys_end()
            case SdkInternalBaseException():
                # A signal of another attempt, or one that user code made: this attempt did not end by itself.
                machine.fail(message="A signal that is not this attempt's ended the handler.", stacktrace=_trace(error))
            case RetryableError():
                after = outcome.retry_after
                machine.fail(
                    code=status_of(outcome),
                    message=text_of(outcome.message),
                    stacktrace=_trace(error),
                    next_retry_delay_ms=None if after is None else max(0, after // _MILLISECOND),
                )
            case None:
                attempt_logger.error("%s failed; the runtime retries it.", context.describe(), exc_info=error)
                machine.fail(message=describe(error), stacktrace=_trace(error))
    except ProtocolError as broken:
        context.broken(broken)


def _tell_swallowed(context: Context, outcome: object) -> None:
    watching = probe.get()
    if watching is not None and context.ended is not None:
        watching.swallowed(context, outcome)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
