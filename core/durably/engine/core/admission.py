"""New invocations: from the ingress and from handlers.

Rules

1. A request that names a known invocation makes no second one:

    request for                     while it exists                     afterwards
    ------------------------------  ----------------------------------  -----------------
    run of a workflow, call         failure 409                         runs again
    run of a workflow, send         `PreviouslyAccepted`                runs again
    with an idempotency key         gets the first one's result         runs again

   It exists until its retention is over. A retention that is over ends it here too, before the sweep.
2. A delayed send waits for its time without the lock of its key, then arrives.
3. The input is the first entry of the journal, stored with the invocation.
"""

from __future__ import annotations

from dataclasses import dataclass

from durably.engine.actions import Accepted, Failed, FailureSource
from durably.engine.core import identifiers, keys, settings
from durably.engine.core.completion import forget, outcome_of
from durably.engine.core.results import input_payload
from durably.engine.core.turn import Turn
from durably.engine.events import Invoke
from durably.engine.records import (
    Failure,
    HandlerRecord,
    Headers,
    Invocation,
    InvokedBy,
    ServiceRecord,
    Status,
    Target,
    TargetKind,
    Timer,
    TimerKind,
)
from durably.protocol.messages import MessageType

__all__ = ["ALREADY_INVOKED", "Admission", "Request", "admit", "invoke", "may_not_invoke"]

ALREADY_INVOKED = Failure(409, "the workflow method was already invoked")
"""What a second submission of a workflow's run fails with."""

_HEADER_OVERHEAD_BYTES = 16
"""Most that the encoding adds to a header, and to the whole message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be invoked.

    Attributes:
        service: The callee's latest revision.
        handler: The callee.
        target: Its names, and the key.
        headers: For the handler.
        body: For the handler.
        idempotency_key: Makes repeated requests one invocation; a workflow's run ignores it.
        start_at: When it starts, epoch in ms; None for now.
        parent: The invocation whose command it is, or None from outside.
        command_index: Of that command.
    """

    service: ServiceRecord
    handler: HandlerRecord
    target: Target
    headers: Headers
    body: bytes
    idempotency_key: str | None = None
    start_at: int | None = None
    parent: Invocation | None = None
    command_index: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """What a request came to.

    Attributes:
        invocation: The invocation, new or known.
        is_new: Whether this request made it.
    """

    invocation: Invocation
    is_new: bool


def invoke(turn: Turn, event: Invoke) -> None:
    """Take a request of the ingress."""
    target = event.target
    service = turn.tx.service(target.service)
    handler = None if service is None else service.handlers.get(target.handler)
    if service is None or handler is None:
        turn.reply(event.reply, _refusal(404, f"There is no handler {target.service}/{target.handler}."))
        return
    refused = may_not_invoke(event.scope, event.limit_key, event.idempotency_key) or (
        "A plain service has no keys." if target.key and not handler.kind.is_keyed else None
    )
    if refused is not None:
        turn.reply(event.reply, _refusal(400, refused))
        return
    if _input_bytes(event) > turn.options.limits.message_bytes:
        turn.reply(event.reply, _refusal(413, "The request is larger than a message to a service may be."))
        return
    admission = admit(
        turn,
        Request(
            service=service,
            handler=handler,
            target=target,
            headers=event.headers,
            body=event.body,
            idempotency_key=event.idempotency_key,
            start_at=event.delay_until_ms,
        ),
    )
    invocation = admission.invocation
    if event.is_send:
        due = invocation.scheduled_start_at
        turn.reply(event.reply, Accepted(invocation.id, admission.is_new, due))
    elif admission.is_new:
        turn.await_(event.reply, invocation)
    elif handler.kind is TargetKind.WORKFLOW_RUN:
        turn.reply(event.reply, outcome_of(invocation.id, ALREADY_INVOKED))
    elif invocation.status is Status.COMPLETED:
        result = turn.tx.result(invocation.id)
        turn.reply(event.reply, outcome_of(invocation.id, b"" if result is None else result, invocation.expires_at))
    else:
        turn.await_(event.reply, invocation)


def _input_bytes(event: Invoke) -> int:
    """Give the size of the one message in which a service gets it: beyond the limit no attempt could begin."""
    headers = sum(len(name) + len(value) + _HEADER_OVERHEAD_BYTES for name, value in event.headers)
    return len(event.body) + headers + _HEADER_OVERHEAD_BYTES


def may_not_invoke(scope: str | None, limit_key: str | None, idempotency_key: str | None) -> str | None:
    """Say why a request cannot be taken whatever it is for, or None."""
    if scope is not None or limit_key is not None:
        return "Scopes and limit keys are not supported by this engine."
    if idempotency_key == "":
        return "An idempotency key must not be empty."
    return None


def admit(turn: Turn, request: Request) -> Admission:
    """Make the invocation that a request asks for, or find the one that it made before."""
    kind = request.handler.kind
    invocation_id = _id_of(turn, request)
    known = turn.invocation(invocation_id)
    if known is not None:
        if turn.live(invocation_id) is not None:
            return Admission(known, False)
        forget(turn, known)
    idempotency_key = None if kind is TargetKind.WORKFLOW_RUN else request.idempotency_key
    journal_ms, completion_ms = settings.retention_of(
        request.service, request.handler, turn.options, idempotent=idempotency_key is not None
    )
    parent = request.parent
    invocation = Invocation(
        id=invocation_id,
        service=request.target.service,
        key=request.target.key,
        handler=request.target.handler,
        kind=kind,
        idempotency_key=idempotency_key,
        invoked_by=InvokedBy.INGRESS if parent is None else InvokedBy.SERVICE,
        parent_id=None if parent is None else parent.id,
        parent_target="" if parent is None else _text_of(parent),
        created_at=turn.now_ms,
        modified_at=turn.now_ms,
        random_seed=turn.random.getrandbits(64),
        journal_retention_ms=journal_ms,
        completion_retention_ms=completion_ms,
        status=Status.SCHEDULED,
    )
    turn.create(invocation)
    turn.append(invocation, MessageType.INPUT, input_payload(request.headers, request.body))
    invocation.command_count = 1
    start_at = request.start_at
    if start_at is not None and start_at > turn.now_ms:
        invocation.scheduled_start_at = start_at
        turn.arm(Timer(start_at, TimerKind.START, invocation_id))
    else:
        keys.enter(turn, invocation)
    return Admission(invocation, True)


def _id_of(turn: Turn, request: Request) -> str:
    target, kind = request.target, request.handler.kind
    if kind is TargetKind.WORKFLOW_RUN:
        return identifiers.workflow_id(target.service, target.key)
    if request.idempotency_key is not None:
        return identifiers.idempotent_id(target, request.idempotency_key, keyed=kind.is_keyed)
    if request.parent is not None:
        return identifiers.child_id(request.parent, request.command_index)
    return identifiers.new_id(target, keyed=kind.is_keyed, now_ms=turn.now_ms, random=turn.random)


def _text_of(invocation: Invocation) -> str:
    if invocation.kind.is_keyed:
        return f"{invocation.service}/{invocation.key}/{invocation.handler}"
    return f"{invocation.service}/{invocation.handler}"


def _refusal(code: int, message: str) -> Failed:
    return Failed(code, message, source=FailureSource.INGRESS)
