"""Sending with the transaction: `send_on_commit`.

Owns the writing of a message. It is a row in the same database and the same transaction as the rows of the caller, so
one commit decides over both; after the commit the relay of this process is woken, or that of another finds the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from durably.authoring.calls import HandlerType
from durably.authoring.handlers import HandlerKind
from durably.client.requests import call_request
from durably.client.targets import handler_target, typed_body
from durably.errors import UsageError
from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay

__all__ = ["send_on_commit"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

_OWN_KEY: Final = "durably-outbox_"
_MAX_KEY_CHARS: Final = 255


def send_on_commit(
    tpe: HandlerType[InputT, OutputT],
    arg: InputT | None = None,
    *,
    key: str | None = None,
    delay: timedelta | None = None,
    idempotency_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> OutboxMessage:
    """Start a handler if, and only if, the current transaction commits; exactly once.

    Outside of a transaction the message is stored at once. It is sent within moments of the commit, or when a process
    of the project runs again; a runtime that is not there is tried again until it is.

    Args:
        tpe: The handler, as it was registered.
        arg: Its input.
        key: Of the virtual object or the workflow.
        delay: Runs not before this time after now.
        idempotency_key: Replaces the message's own; messages with the same key start one invocation.
        headers: For the handler.
        using: Alias of the database with the transaction.

    Raises:
        UsageError: The handler is not registered, or key and headers do not fit.
        SerdeError: `arg` is no input of the handler.
    """
    handler, target = handler_target(tpe, key, idempotency_key)
    body, content_type = typed_body(handler, arg)
    if idempotency_key is not None and len(idempotency_key) > _MAX_KEY_CHARS:
        raise UsageError(f"The idempotency key is longer than {_MAX_KEY_CHARS} characters.")
    if idempotency_key is not None and handler.kind is HandlerKind.WORKFLOW:
        raise UsageError("A workflow runs once for its key; it takes no idempotency key besides.")
    call_request(target, body, content_type, headers, send=True, delay=delay)  # what cannot be sent is refused here
    now = timezone.now()
    message = OutboxMessage(
        service=target.service,
        handler=target.handler,
        key=key,
        body=body,
        content_type=content_type or "",
        headers=dict(headers or {}),
        created_at=now,
        due_at=now,
        run_at=None if delay is None else now + delay,
    )
    message.idempotency_key = idempotency_key or f"{_OWN_KEY}{message.pk.hex}"
    message.save(using=using, force_insert=True)
    transaction.on_commit(relay.wake, using=using)
    return message
