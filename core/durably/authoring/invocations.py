"""Other invocations, and the cancellation of this one."""

from __future__ import annotations

from typing import TypeVar

from durably.authoring.futures import DurableFuture
from durably.authoring.operations import DEFAULT_SERDE, Operations
from durably.errors import ProtocolError, UsageError
from durably.machine import CANCEL, IdempotentTarget, WorkflowTarget
from durably.serde import Serde, resolve_serde

__all__ = ["Invocations"]

T = TypeVar("T")


class Invocations(Operations):
    """The operations on invocations that exist already."""

    __slots__ = ()

    def cancel_invocation(self, invocation_id: str) -> None:
        """Ask another invocation to cancel.

        Source: service protocol, SendSignalCommand with the built-in signal CANCEL.
        """
        try:
            self.machine.sys_cancel(invocation_id)
        except ProtocolError as error:
            raise self.broken(error) from error

    def cancellation(self) -> DurableFuture[None]:
        """Give a future of this invocation's cancellation, for handlers with `explicit_cancellation`.

        Raises:
            UsageError: Cancellation is implicit here: it is raised from whatever the handler awaits.
        """
        if not self.handler.explicit_cancellation:
            raise UsageError(
                f"{self.handler.service_name}/{self.handler.name} does not handle cancellation itself.",
                hint="Register the handler with explicit_cancellation=True, or catch InvocationCancelledError.",
            )
        return DurableFuture(self, CANCEL)

    def attach_invocation(
        self, invocation_id: str, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T]:
        """Wait for another invocation's result.

        Source: service protocol, AttachInvocationCommand.
        """
        return self._attach(invocation_id, serde, type_hint)

    def attach_workflow(
        self, workflow: str, key: str, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T]:
        """Wait for the result of the workflow `workflow` with that key."""
        return self._attach(WorkflowTarget(workflow, key), serde, type_hint)

    def attach_idempotent(
        self,
        service: str,
        handler: str,
        idempotency_key: str,
        key: str | None = None,
        serde: Serde[T] = DEFAULT_SERDE,
        type_hint: type[T] | None = None,
    ) -> DurableFuture[T]:
        """Wait for the result of the invocation that was made with that idempotency key."""
        return self._attach(IdempotentTarget(service, handler, idempotency_key, key), serde, type_hint)

    def invocation_output(
        self, invocation_id: str, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T | None]:
        """Give another invocation's result if it is completed now, else None.

        Source: service protocol, GetInvocationOutputCommand.
        """
        try:
            handle = self.machine.sys_get_output(invocation_id)
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def _attach(
        self, target: str | WorkflowTarget | IdempotentTarget, serde: Serde[T], type_hint: type[T] | None
    ) -> DurableFuture[T]:
        try:
            handle = self.machine.sys_attach(target)
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)
