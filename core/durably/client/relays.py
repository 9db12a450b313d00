"""Handlers that complete, from inside, what the API for callers has no way in for: signals, and promises of workflows.

Owns both sides: the handlers, which an application adds to its services, and the calls that a client makes of them.

    services = [shop, signup, signal_service()]
    expose_promises(signup)

Whoever may call the application's services may then complete any signal, and any promise of that workflow.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from durably.authoring.contexts import Context, WorkflowSharedContext
from durably.authoring.services import Service
from durably.authoring.workflows import Workflow
from durably.client.channels import Rejection, Resolution
from durably.client.foreign import Foreign
from durably.client.interfaces import HttpError
from durably.client.targets import Call, CallTarget, check_text, handler_target
from durably.errors import ClientError, TerminalError
from durably.protocol.ids import InvocationId
from durably.serde import BytesSerde, TypedSerde

__all__ = [
    "Completion",
    "expose_promises",
    "no_promises_error",
    "no_signals_error",
    "promise_call",
    "signal_call",
    "signal_service",
]

_SIGNAL_SERVICE: Final = "DurablySignals"
_SIGNAL_HANDLER: Final = "complete"
_PROMISE_HANDLER: Final = "completePromise"
_NOT_FOUND: Final = 404
_INGRESS: Final = "ingress"


@dataclass(frozen=True, slots=True)
class Completion:
    """What completes a signal or a promise, as it travels to the handler.

    Attributes:
        name: Of the signal or promise.
        value: Base64 of the value; None where it is rejected.
        reason: Why it is rejected.
        invocation_id: Who gets the signal; "" for a promise.
    """

    name: str
    value: str | None = None
    reason: str = ""
    invocation_id: str = ""


_RAW: Final = BytesSerde()
_SERDE: Final = TypedSerde[Completion](Completion)


def signal_service() -> Service:
    """Make the service through which clients send signals over HTTP; one of the services of an application."""
    service = Service(_SIGNAL_SERVICE, description="Sends signals for clients.")

    @service.handler(_SIGNAL_HANDLER)
    async def complete(ctx: Context, completion: Completion) -> None:  # pyright: ignore[reportUnusedFunction]
        try:
            InvocationId.decode(completion.invocation_id)
        except ValueError as error:
            raise TerminalError(f"bad invocation id: {error}", status_code=400) from error
        if completion.value is None:
            ctx.reject_signal(completion.invocation_id, completion.name, completion.reason)
        else:
            ctx.resolve_signal(completion.invocation_id, completion.name, _value_of(completion.value), _RAW)

    return service


def expose_promises(workflow: Workflow) -> None:
    """Add the handler through which clients complete promises of a workflow; before its application is made."""

    @workflow.handler(_PROMISE_HANDLER)
    async def complete_promise(  # pyright: ignore[reportUnusedFunction]
        ctx: WorkflowSharedContext, completion: Completion
    ) -> None:
        promise = ctx.promise(completion.name, serde=_RAW)
        if completion.value is None:
            await promise.reject(completion.reason)
        else:
            await promise.resolve(_value_of(completion.value))


def signal_call(invocation_id: str, name: str, resolution: Resolution) -> Call:
    """Make the call that sends a signal.

    Raises:
        UsageError: The id or the name is empty.
    """
    check_text("invocation id", invocation_id)
    check_text("signal's name", name)
    target = CallTarget(service=_SIGNAL_SERVICE, handler=_SIGNAL_HANDLER)
    return _call(target, name, resolution, invocation_id)


def promise_call(workflow: Any, key: str, name: str, resolution: Resolution) -> Call:
    """Make the call that completes a promise.

    Args:
        workflow: One of its handlers, or its name.
        key: Of the workflow.
        name: Of the promise.
        resolution: What completes it.

    Raises:
        UsageError: A name or the key is empty, or the function is no handler of a workflow.
    """
    check_text("promise's name", name)
    if isinstance(workflow, str):
        service = workflow
    elif isinstance(workflow, Foreign):
        service = workflow.service
    else:
        service = handler_target(workflow, key)[1].service
    return _call(CallTarget(service=service, handler=_PROMISE_HANDLER, key=key), name, resolution)


def no_signals_error(error: HttpError) -> ClientError:
    """Give what to raise where a signal was refused: that there is no way in, or the error itself."""
    if not _is_missing(error):
        return error
    return ClientError(
        "No way in for signals: this runtime takes them from handlers only.",
        hint="Add durably.client.signal_service() to the services of the application, or use an awakeable.",
    )


def no_promises_error(error: HttpError) -> ClientError:
    """Give what to raise where a promise was refused: that there is no way in, or the error itself."""
    if not _is_missing(error):
        return error
    return ClientError(
        "No way in for promises: the workflow is not known, or takes them from its own handlers only.",
        hint="Call durably.client.expose_promises(workflow), or call a handler of yours that completes it.",
    )


def _is_missing(error: HttpError) -> bool:
    return error.status_code == _NOT_FOUND and error.source in {_INGRESS, None}


def _call(target: CallTarget, name: str, resolution: Resolution, invocation_id: str = "") -> Call:
    match resolution:
        case Rejection(reason):
            completion = Completion(name, None, reason, invocation_id)
        case value:
            completion = Completion(name, base64.b64encode(value).decode(), "", invocation_id)
    return Call(target, _SERDE.serialize(completion), "application/json")


def _value_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise TerminalError(f"bad value: {error}", status_code=400) from error
