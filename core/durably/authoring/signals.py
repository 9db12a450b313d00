"""Awakeables and signals: results that come from outside the handler."""

from __future__ import annotations

from typing import TypeVar

from durably.authoring.futures import DurableFuture
from durably.authoring.operations import DEFAULT_SERDE, Operations
from durably.errors import ProtocolError
from durably.machine import Failure
from durably.serde import Serde, resolve_serde

__all__ = ["Signals"]

T = TypeVar("T")


class Signals(Operations):
    """The operations that wait for others, and that complete what others wait for."""

    __slots__ = ()

    def awakeable(
        self, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> tuple[str, DurableFuture[T]]:
        """Make a promise that anyone who has its id can complete: give the id and the future.

        Source: service protocol, signals; nothing is journaled until it is completed.
        """
        try:
            awakeable_id, handle = self.machine.sys_awakeable()
        except ProtocolError as error:
            raise self.broken(error) from error
        return awakeable_id, DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def resolve_awakeable(self, name: str, value: T, serde: Serde[T] = DEFAULT_SERDE) -> None:
        """Complete the awakeable with the id `name`.

        Source: service protocol, CompleteAwakeableCommand.
        """
        payload = self.encoded(value, serde)
        try:
            self.machine.sys_complete_awakeable(name, payload)
        except ProtocolError as error:
            raise self.broken(error) from error

    def reject_awakeable(self, name: str, failure_message: str, failure_code: int = 500) -> None:
        """Fail the awakeable with the id `name`: whoever waits for it gets a `TerminalError`."""
        try:
            self.machine.sys_complete_awakeable(name, Failure(failure_code, failure_message))
        except ProtocolError as error:
            raise self.broken(error) from error

    def signal(self, name: str, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None) -> DurableFuture[T]:
        """Give a future of the signal `name` of this invocation. It may arrive before this call.

        Source: service protocol, named signals.
        """
        try:
            handle = self.machine.sys_signal(name)
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def resolve_signal(self, invocation_id: str, name: str, value: T, serde: Serde[T] = DEFAULT_SERDE) -> None:
        """Send the signal `name` with a value to another invocation.

        Source: service protocol, SendSignalCommand.
        """
        payload = self.encoded(value, serde)
        try:
            self.machine.sys_send_signal(invocation_id, name, payload)
        except ProtocolError as error:
            raise self.broken(error) from error

    def reject_signal(self, invocation_id: str, name: str, failure_message: str, failure_code: int = 500) -> None:
        """Send the signal `name` with a failure: who waits for it gets a `TerminalError`."""
        try:
            self.machine.sys_send_signal(invocation_id, name, Failure(failure_code, failure_message))
        except ProtocolError as error:
            raise self.broken(error) from error
