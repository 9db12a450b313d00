"""Signals, awakeables and promises: results that come from outside, and giving them to others.

An awakeable is a signal of this invocation, numbered from 17; its id names the invocation and the
number. Making one, or a handle for a named signal, journals nothing. Promises belong to workflows
and are kept by the runtime.

Source: service protocol, SendSignalCommand, CompleteAwakeableCommand, GetPromiseCommand,
PeekPromiseCommand, CompletePromiseCommand.
"""

from __future__ import annotations

from durably.machine.journal import Journal
from durably.machine.values import CANCEL, Failure
from durably.protocol import messages
from durably.protocol.ids import awakeable_id
from durably.protocol.messages import MessageType

__all__ = ["Signals"]


class Signals(Journal):
    """Operations on signals, awakeables and promises; see `Machine`."""

    __slots__ = ()

    def sys_awakeable(self) -> tuple[str, int]:
        """Make an awakeable: pass its id to whoever will complete it, and await the handle.

        Returns:
            The id, then the handle: bytes, None or a failure will come.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        self._require_open("An awakeable")
        index = self._next_signal
        self._next_signal = index + 1
        return awakeable_id(self._start_message().id, index), -index

    def sys_complete_awakeable(self, awakeable_id: str, result: bytes | Failure, name: str = "") -> None:
        """Complete an awakeable of any invocation. Nothing is to be awaited.

        Args:
            awakeable_id: Its id, as `sys_awakeable` gave it.
            result: A value or a failure.
            name: Label of the command, for observability.

        Raises:
            UnsupportedFeatureError: The failure has metadata and the protocol version has none.
            LocalProtocolError: See `Machine`.
        """
        command = messages.CompleteAwakeableCommand(awakeable_id=awakeable_id, name=name)
        if isinstance(result, Failure):
            command.failure.CopyFrom(self._failure(result))
        else:
            command.value.content = result
        self._journal(MessageType.COMPLETE_AWAKEABLE, name, command.SerializeToString())

    def sys_signal(self, signal: str) -> str:
        """Give the handle of a named signal of this invocation: await it for bytes, None or a failure.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        self._require_open("A signal")
        return signal

    def sys_send_signal(
        self, target_invocation_id: str, signal: int | str, result: bytes | Failure | None, name: str = ""
    ) -> None:
        """Send a signal to an invocation. Nothing is to be awaited.

        Args:
            target_invocation_id: Who gets it.
            signal: Its name, or its index (positive).
            result: A value, a failure, or None for nothing.
            name: Label of the command, for observability.

        Raises:
            UnsupportedFeatureError: The failure has metadata and the protocol version has none.
            LocalProtocolError: See `Machine`.
        """
        command = messages.SendSignalCommand(target_invocation_id=target_invocation_id, entry_name=name)
        if isinstance(signal, str):
            command.name = signal
        else:
            command.idx = signal
        if result is None:
            command.void.SetInParent()
        elif isinstance(result, Failure):
            command.failure.CopyFrom(self._failure(result))
        else:
            command.value.content = result
        self._journal(MessageType.SEND_SIGNAL, name, command.SerializeToString())

    def sys_cancel(self, target_invocation_id: str) -> None:
        """Cancel another invocation. Nothing is to be awaited.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        self.sys_send_signal(target_invocation_id, -CANCEL, None)

    def sys_get_promise(self, key: str, name: str = "") -> int:
        """Await a promise of this workflow: the handle brings bytes or a failure once it is completed.

        Args:
            key: The promise's key.
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        command = messages.GetPromiseCommand(key=key, result_completion_id=handle, name=name)
        self._journal(MessageType.GET_PROMISE, name, command.SerializeToString())
        self._next_completion = handle + 1
        return handle

    def sys_peek_promise(self, key: str, name: str = "") -> int:
        """Look at a promise of this workflow: the handle brings bytes, a failure, or None if not completed.

        Args:
            key: The promise's key.
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        command = messages.PeekPromiseCommand(key=key, result_completion_id=handle, name=name)
        self._journal(MessageType.PEEK_PROMISE, name, command.SerializeToString())
        self._next_completion = handle + 1
        return handle

    def sys_complete_promise(self, key: str, result: bytes | Failure, name: str = "") -> int:
        """Complete a promise of this workflow: await the handle for None, or a failure if it was completed before.

        Args:
            key: The promise's key.
            result: A value or a failure.
            name: Label of the command, for observability.

        Raises:
            UnsupportedFeatureError: The failure has metadata and the protocol version has none.
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        command = messages.CompletePromiseCommand(key=key, result_completion_id=handle, name=name)
        if isinstance(result, Failure):
            command.completion_failure.CopyFrom(self._failure(result))
        else:
            command.completion_value.content = result
        self._journal(MessageType.COMPLETE_PROMISE, name, command.SerializeToString())
        self._next_completion = handle + 1
        return handle
