"""Commands about other invocations: call, one-way call, attach, get output.

Rules

1. What is called must be registered and speak a supported version; else the attempt fails, and is
   retried: the callee may be deployed later.
2. The callee's id is notified right after the command; then, sooner or later, a call's result.
3. Attaching waits for the result; asking for the output answers at once, with nothing while it runs.
4. An invocation that does not exist answers 404.

    check                                                     doc code
    --------------------------------------------------------  --------
    service and handler are registered                        RT0018
    the deployment speaks a supported version                 RT0020
    a plain service is called without a key                   RT0017
    an idempotency key is not empty, an id parses             RT0017
    no scope, no limit key                                    RT0024
"""

from __future__ import annotations

from typing import Final

from durably.engine.core import identifiers, starting
from durably.engine.core.admission import ALREADY_INVOKED, Request, admit, may_not_invoke
from durably.engine.core.failures import Violation
from durably.engine.core.results import VOID, body_of, invocation_id_body
from durably.engine.core.turn import Turn
from durably.engine.core.waking import complete_command
from durably.engine.events import IdempotentSelector, InvocationSelector, Selector, WorkflowSelector
from durably.engine.records import (
    Failure,
    HandlerRecord,
    Headers,
    Invocation,
    ServiceRecord,
    ServiceType,
    Status,
    Target,
    TargetKind,
    Waiter,
)
from durably.engine.store.contract import Reader
from durably.protocol import messages
from durably.protocol.ids import InvocationId
from durably.protocol.messages import MessageType
from durably.protocol.versions import MAX_VERSION, MIN_VERSION

__all__ = ["NOT_FOUND", "attach", "call", "check_call", "get_output", "id_of", "parsed_id", "selected_id", "send"]

NOT_FOUND: Final = Failure(404, "not found")
"""What asking for an unknown invocation fails with."""


def check_call(
    reader: Reader, command: messages.CallCommand | messages.OneWayCallCommand
) -> tuple[ServiceRecord, HandlerRecord]:
    """Find the callee, or say with a `Violation` why it cannot be called."""
    service = reader.service(command.service_name)
    handler = None if service is None else service.handlers.get(command.handler_name)
    if service is None or handler is None:
        raise Violation(
            f"The handler calls {command.service_name}/{command.handler_name}, which is not registered.", "RT0018"
        )
    deployment = reader.deployment(service.deployment_id)
    if deployment is not None and (
        deployment.max_protocol_version < MIN_VERSION or deployment.min_protocol_version > MAX_VERSION
    ):
        raise Violation(f"The deployment of {command.service_name} speaks no supported version.", "RT0020")
    if command.key and handler.kind is TargetKind.SERVICE:
        raise Violation(f"{command.service_name} is a plain service; it is called with a key.", "RT0017")
    refused = may_not_invoke(_optional(command, "scope"), _optional(command, "limit_key"), None)
    if refused is not None:
        raise Violation(refused, "RT0024")
    if _optional(command, "idempotency_key") == "":
        raise Violation("An idempotency key must not be empty.", "RT0017")
    return service, handler


def call(
    turn: Turn,
    invocation: Invocation,
    command: messages.CallCommand,
    callee: tuple[ServiceRecord, HandlerRecord],
    command_index: int,
) -> None:
    """Do a call whose command was appended."""
    admission = admit(turn, _request(invocation, command, callee, command_index, None))
    child = admission.invocation
    invocation.waits = True
    _tell_id(turn, invocation, command.invocation_id_notification_idx, child)
    if admission.is_new:
        invocation.has_children = True
    elif callee[1].kind is TargetKind.WORKFLOW_RUN:
        complete_command(
            turn,
            invocation,
            MessageType.CALL_COMPLETION,
            command.result_completion_id,
            body_of(ALREADY_INVOKED),
            failed=True,
        )
        return
    _await_result(turn, invocation, child, MessageType.CALL_COMPLETION, command.result_completion_id)


def send(
    turn: Turn,
    invocation: Invocation,
    command: messages.OneWayCallCommand,
    callee: tuple[ServiceRecord, HandlerRecord],
    command_index: int,
) -> None:
    """Do a one-way call whose command was appended."""
    admission = admit(turn, _request(invocation, command, callee, command_index, command.invoke_time or None))
    if admission.is_new:
        invocation.has_children = True
    _tell_id(turn, invocation, command.invocation_id_notification_idx, admission.invocation)


def attach(turn: Turn, invocation: Invocation, command: messages.AttachInvocationCommand, target_id: str) -> None:
    """Attach an invocation to another one."""
    kind = MessageType.ATTACH_INVOCATION_COMPLETION
    target = turn.live(target_id)
    if target is None:
        complete_command(turn, invocation, kind, command.result_completion_id, body_of(NOT_FOUND), failed=True)
        return
    invocation.waits = True
    _await_result(turn, invocation, target, kind, command.result_completion_id)


def get_output(
    turn: Turn, invocation: Invocation, command: messages.GetInvocationOutputCommand, target_id: str
) -> None:
    """Answer with the output of an invocation, or with nothing."""
    target = turn.live(target_id)
    if target is None:
        body, failed = body_of(NOT_FOUND), True
    elif target.status is Status.COMPLETED:
        result = turn.tx.result(target_id)
        body, failed = body_of(b"" if result is None else result), isinstance(result, Failure)
    else:
        body, failed = VOID, False
    kind = MessageType.GET_INVOCATION_OUTPUT_COMPLETION
    complete_command(turn, invocation, kind, command.result_completion_id, body, failed=failed)


def id_of(reader: Reader, command: messages.AttachInvocationCommand | messages.GetInvocationOutputCommand) -> str:
    """Give the id of the invocation that a command is about."""
    match command.WhichOneof("target"):
        case "invocation_id":
            return parsed_id(command.invocation_id)
        case "workflow_target":
            workflow = command.workflow_target
            _refuse_scope(workflow)
            return selected_id(reader, WorkflowSelector(workflow.workflow_name, workflow.workflow_key))
        case "idempotent_request_target":
            target = command.idempotent_request_target
            _refuse_scope(target)
            selector = IdempotentSelector(
                target.service_name, target.service_key, target.handler_name, target.idempotency_key
            )
            return selected_id(reader, selector)
        case _:
            raise Violation("A command that is about an invocation names none.")


def selected_id(reader: Reader, selector: Selector) -> str:
    """Give the id of the invocation that is selected; it need not exist."""
    keyed = False
    if isinstance(selector, IdempotentSelector):
        service = reader.service(selector.service)
        keyed = bool(selector.key) if service is None else service.type is not ServiceType.SERVICE
        if service is not None and service.type is ServiceType.WORKFLOW:
            handler = service.handlers.get(selector.handler)
            if handler is not None and handler.kind is TargetKind.WORKFLOW_RUN:
                selector = WorkflowSelector(selector.service, selector.key)
    if isinstance(selector, InvocationSelector):
        return selector.invocation_id
    return identifiers.resolve(selector, keyed=keyed)


def parsed_id(text: str) -> str:
    """Give an invocation's id after having checked its form."""
    try:
        InvocationId.decode(text)
    except ValueError as error:
        raise Violation(f"{text[:60]!r} is not the id of an invocation.", "RT0017") from error
    return text


def _request(
    parent: Invocation,
    command: messages.CallCommand | messages.OneWayCallCommand,
    callee: tuple[ServiceRecord, HandlerRecord],
    command_index: int,
    start_at: int | None,
) -> Request:
    headers: Headers = tuple([(header.key, header.value) for header in command.headers])
    return Request(
        service=callee[0],
        handler=callee[1],
        target=Target(command.service_name, command.key, command.handler_name),
        headers=headers,
        body=command.parameter,
        idempotency_key=_optional(command, "idempotency_key"),
        start_at=start_at,
        parent=parent,
        command_index=command_index,
    )


def _await_result(
    turn: Turn, invocation: Invocation, awaited: Invocation, kind: MessageType, completion_id: int
) -> None:
    if awaited.status is not Status.COMPLETED:
        starting.prepare(turn)  # so that a new callee is stored once, as it will be
        turn.flush()
        turn.tx.add_waiter(Waiter(awaited.id, invocation.id, completion_id, kind))
        return
    result = turn.tx.result(awaited.id)
    body = body_of(b"" if result is None else result)
    complete_command(turn, invocation, kind, completion_id, body, failed=isinstance(result, Failure))


def _tell_id(turn: Turn, invocation: Invocation, completion_id: int, child: Invocation) -> None:
    kind = MessageType.CALL_INVOCATION_ID_COMPLETION
    complete_command(turn, invocation, kind, completion_id, invocation_id_body(child.id), failed=False)


def _refuse_scope(target: messages.WorkflowTarget | messages.IdempotentRequestTarget) -> None:
    if target.HasField("scope"):
        raise Violation("Scopes are not supported by this engine.", "RT0024")


def _optional(command: messages.CallCommand | messages.OneWayCallCommand, name: str) -> str | None:
    return getattr(command, name) if command.HasField(name) else None
