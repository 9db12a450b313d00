"""Calling other handlers, and attaching to invocations.

A call brings two notifications: first the id of the invocation it made, later its result. A one-way
call brings only the id. With implicit cancellation the children that were called are remembered, so
that a cancellation can be passed on to them.

Source: service protocol, CallCommand, OneWayCallCommand, AttachInvocationCommand, GetInvocationOutputCommand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from durably.errors import LocalProtocolError
from durably.machine.journal import Journal
from durably.machine.values import IdempotentTarget, Target, WorkflowTarget
from durably.protocol import messages
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["Calls"]


class Calls(Journal):
    """Operations on other invocations; see `Machine`."""

    __slots__ = ()

    def sys_call(
        self,
        service: str,
        handler: str,
        parameter: bytes,
        *,
        key: str = "",
        idempotency_key: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        scope: str | None = None,
        limit_key: str | None = None,
        name: str = "",
    ) -> tuple[int, int]:
        """Call a handler, then await the second handle: its result, bytes or a failure.

        Args:
            service: Name of the service, object or workflow.
            handler: Name of the handler.
            parameter: The payload.
            key: Key of the object or workflow; "" for plain services.
            idempotency_key: Not empty, or None.
            headers: Pairs of name and value.
            scope: Not empty, or None. Needs protocol V7.
            limit_key: Not empty, or None; only within a scope. Needs protocol V7.
            name: Label of the command, for observability.

        Returns:
            The handle of the new invocation's id (a str), then that of the result.

        Raises:
            UnsupportedFeatureError: The protocol version has no scopes.
            LocalProtocolError: Something is empty (code 500), and see `Machine`.
        """
        if idempotency_key is not None or scope is not None or limit_key is not None:
            self._check_target(idempotency_key, scope, limit_key)
        id_handle = self._next_completion
        result_handle = id_handle + 1
        command = messages.CallCommand(
            service_name=service,
            handler_name=handler,
            parameter=parameter,
            headers=[messages.Header(key=header, value=value) for header, value in headers],
            key=key,
            idempotency_key=idempotency_key,
            scope=scope,
            limit_key=limit_key,
            invocation_id_notification_idx=id_handle,
            result_completion_id=result_handle,
            name=name,
        )
        self._journal(MessageType.CALL, name, command.SerializeToString())
        self._next_completion = result_handle + 1
        if self._implicit_cancellation and self.options.cancel_children_calls:
            self._children[id_handle] = None
        return id_handle, result_handle

    def sys_send(
        self,
        service: str,
        handler: str,
        parameter: bytes,
        *,
        key: str = "",
        idempotency_key: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        scope: str | None = None,
        limit_key: str | None = None,
        invoke_time_ms: int = 0,
        name: str = "",
    ) -> int:
        """Call a handler without awaiting it.

        Args:
            service: Name of the service, object or workflow.
            handler: Name of the handler.
            parameter: The payload.
            key: Key of the object or workflow; "" for plain services.
            idempotency_key: Not empty, or None.
            headers: Pairs of name and value.
            scope: Not empty, or None. Needs protocol V7.
            limit_key: Not empty, or None; only within a scope. Needs protocol V7.
            invoke_time_ms: When to invoke it, in milliseconds since the epoch; 0 means now. Not
                compared on replay.
            name: Label of the command, for observability.

        Returns:
            The handle of the new invocation's id (a str).

        Raises:
            UnsupportedFeatureError: The protocol version has no scopes.
            LocalProtocolError: Something is empty (code 500), and see `Machine`.
        """
        if idempotency_key is not None or scope is not None or limit_key is not None:
            self._check_target(idempotency_key, scope, limit_key)
        id_handle = self._next_completion
        command = messages.OneWayCallCommand(
            service_name=service,
            handler_name=handler,
            parameter=parameter,
            invoke_time=invoke_time_ms,
            headers=[messages.Header(key=header, value=value) for header, value in headers],
            key=key,
            idempotency_key=idempotency_key,
            scope=scope,
            limit_key=limit_key,
            invocation_id_notification_idx=id_handle,
            name=name,
        )
        self._journal(MessageType.ONE_WAY_CALL, name, command.SerializeToString())
        self._next_completion = id_handle + 1
        if self._implicit_cancellation and self.options.cancel_children_sends:
            self._children[id_handle] = None
        return id_handle

    def sys_attach(self, target: Target, name: str = "") -> int:
        """Wait for another invocation: await the handle for its result, bytes or a failure.

        Args:
            target: An invocation id, a `WorkflowTarget` or an `IdempotentTarget`.
            name: Label of the command, for observability.

        Raises:
            UnsupportedFeatureError: The protocol version has no scopes.
            LocalProtocolError: A scope is empty (code 500), and see `Machine`.
        """
        handle = self._next_completion
        command = messages.AttachInvocationCommand(result_completion_id=handle, name=name)
        self._write_target(command, target)
        self._journal(MessageType.ATTACH_INVOCATION, name, command.SerializeToString())
        self._next_completion = handle + 1
        return handle

    def sys_get_output(self, target: Target, name: str = "") -> int:
        """Ask for another invocation's result: await the handle for bytes, a failure, or None if unfinished.

        Args:
            target: An invocation id, a `WorkflowTarget` or an `IdempotentTarget`.
            name: Label of the command, for observability.

        Raises:
            UnsupportedFeatureError: The protocol version has no scopes.
            LocalProtocolError: A scope is empty (code 500), and see `Machine`.
        """
        handle = self._next_completion
        command = messages.GetInvocationOutputCommand(result_completion_id=handle, name=name)
        self._write_target(command, target)
        self._journal(MessageType.GET_INVOCATION_OUTPUT, name, command.SerializeToString())
        self._next_completion = handle + 1
        return handle

    def _write_target(
        self, command: messages.AttachInvocationCommand | messages.GetInvocationOutputCommand, target: Target
    ) -> None:
        match target:
            case str():
                command.invocation_id = target
            case WorkflowTarget():
                self._check_target(None, target.scope, None)
                command.workflow_target.CopyFrom(
                    messages.WorkflowTarget(workflow_name=target.name, workflow_key=target.key, scope=target.scope)
                )
            case IdempotentTarget():
                self._check_target(None, target.scope, None)
                command.idempotent_request_target.CopyFrom(
                    messages.IdempotentRequestTarget(
                        service_name=target.service,
                        service_key=target.key,
                        handler_name=target.handler,
                        idempotency_key=target.idempotency_key,
                        scope=target.scope,
                    )
                )
            case _:
                assert_never(target)

    def _check_target(self, idempotency_key: str | None, scope: str | None, limit_key: str | None) -> None:
        self._require_open("A call")
        for what, value in (("idempotency key", idempotency_key), ("scope", scope), ("limit key", limit_key)):
            if value is not None and not value:
                self._die(LocalProtocolError(f"The {what} of a call is empty.", code=500, hint="Leave it out instead."))
        if scope is not None:
            self._need(ProtocolVersion.V7, "A scope")
        if limit_key is not None:
            self._need(ProtocolVersion.V7, "A limit key")
            if scope is None:
                self._die(
                    LocalProtocolError(
                        "A limit key was given without a scope.", code=500, hint="Name the scope that it limits."
                    )
                )
