"""Reading and writing the state of the invocation's object or workflow.

Start brings a map of state entries. It is *complete* (an absent key has no value) or *partial* (an
absent key is unknown, as for plain services and lazy state). Reads that the map can answer are
recorded together with their answer and are ready at once; others ask the runtime.

    read                         complete map             partial map
    ---------------------------  -----------------------  ------------------------
    key in the map               GetEagerState, value     GetEagerState, value
    key cleared in this attempt  GetEagerState, nothing   GetEagerState, nothing
    key absent                   GetEagerState, nothing   GetLazyState, awaited
    names of all keys            GetEagerStateKeys        GetLazyStateKeys, awaited

Clearing all makes the map complete. Writes change the map during replay too: the map in Start is
already the state after all recorded commands, and repeating them leaves it so. Replayed reads take
their answer from the journal, never from the map, whichever of the two forms was recorded.

Source: service protocol, StartMessage `state_map`, `partial_state`.
"""

from __future__ import annotations

from typing import NoReturn

from durably.errors import RemoteProtocolError
from durably.machine.journal import Journal
from durably.machine.mismatches import describe
from durably.machine.notifications import read_state_keys
from durably.machine.states import State
from durably.protocol import messages
from durably.protocol.messages import MessageType

__all__ = ["KeyedState"]


class KeyedState(Journal):
    """Operations on state; see `Machine`."""

    __slots__ = ()

    def sys_get_state(self, key: str, name: str = "") -> int:
        """Read one entry, then await the handle: bytes, or None where there is no value.

        It may be complete at once, without any answer of the runtime.

        Args:
            key: The entry's key.
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        raw_key = key.encode()
        if self._state is not State.PROCESSING:
            self._replay_get(handle, raw_key, name)
        elif key in self._state_map or not self._partial_state:
            value = self._state_map.get(key)
            command = messages.GetEagerStateCommand(key=raw_key, name=name)
            if value is None:
                command.void.SetInParent()
            else:
                command.value.content = value
            self._journal(MessageType.GET_EAGER_STATE, name, command.SerializeToString())
            self._ready[handle] = value
        else:
            lazy = messages.GetLazyStateCommand(key=raw_key, result_completion_id=handle, name=name)
            self._journal(MessageType.GET_LAZY_STATE, name, lazy.SerializeToString())
        self._next_completion = handle + 1
        return handle

    def sys_get_state_keys(self, name: str = "") -> int:
        """Read the names of all entries, then await the handle: a tuple of keys.

        Args:
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        if self._state is not State.PROCESSING:
            self._replay_get_keys(handle, name)
        elif self._partial_state:
            lazy = messages.GetLazyStateKeysCommand(result_completion_id=handle, name=name)
            self._journal(MessageType.GET_LAZY_STATE_KEYS, name, lazy.SerializeToString())
        else:
            raw_keys = sorted(key.encode() for key, value in self._state_map.items() if value is not None)
            command = messages.GetEagerStateKeysCommand(value=messages.StateKeys(keys=raw_keys), name=name)
            self._journal(MessageType.GET_EAGER_STATE_KEYS, name, command.SerializeToString())
            self._ready[handle] = tuple([key.decode() for key in raw_keys])
        self._next_completion = handle + 1
        return handle

    def sys_set_state(self, key: str, value: bytes, name: str = "") -> None:
        """Write one entry. Nothing is to be awaited.

        Args:
            key: The entry's key.
            value: Its new value.
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        command = messages.SetStateCommand(key=key.encode(), value=messages.Value(content=value), name=name)
        self._journal(MessageType.SET_STATE, name, command.SerializeToString())
        self._state_map[key] = value

    def sys_clear_state(self, key: str, name: str = "") -> None:
        """Remove one entry. Nothing is to be awaited.

        Args:
            key: The entry's key.
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        command = messages.ClearStateCommand(key=key.encode(), name=name)
        self._journal(MessageType.CLEAR_STATE, name, command.SerializeToString())
        self._state_map[key] = None

    def sys_clear_all_state(self, name: str = "") -> None:
        """Remove all entries. Nothing is to be awaited.

        Args:
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        command = messages.ClearAllStateCommand(name=name)
        self._journal(MessageType.CLEAR_ALL_STATE, name, command.SerializeToString())
        self._state_map.clear()
        self._partial_state = False

    def _replay_get(self, handle: int, raw_key: bytes, name: str) -> None:
        kind, recorded = self._take_recorded(MessageType.GET_EAGER_STATE, name)
        if kind == MessageType.GET_LAZY_STATE:
            self._command_type = kind
            lazy = messages.GetLazyStateCommand(key=raw_key, result_completion_id=handle, name=name)
            self._require_equal(kind, recorded, lazy.SerializeToString())
            return
        asked = messages.GetEagerStateCommand(key=raw_key, name=name)
        if kind != MessageType.GET_EAGER_STATE:
            self._refuse_other_command(kind, recorded, describe(MessageType.GET_EAGER_STATE, asked))
        held = self._parse_recorded(messages.GetEagerStateCommand, recorded)
        # The answer is the journal's: it is no part of what is compared.
        if held.HasField("value"):
            asked.value.content = held.value.content
        elif held.HasField("void"):
            asked.void.SetInParent()
        else:
            self._refuse_no_answer()
        self._require_equal(kind, recorded, asked.SerializeToString())
        self._ready[handle] = held.value.content if held.HasField("value") else None

    def _replay_get_keys(self, handle: int, name: str) -> None:
        kind, recorded = self._take_recorded(MessageType.GET_EAGER_STATE_KEYS, name)
        if kind == MessageType.GET_LAZY_STATE_KEYS:
            self._command_type = kind
            lazy = messages.GetLazyStateKeysCommand(result_completion_id=handle, name=name)
            self._require_equal(kind, recorded, lazy.SerializeToString())
            return
        asked = messages.GetEagerStateKeysCommand(name=name)
        if kind != MessageType.GET_EAGER_STATE_KEYS:
            self._refuse_other_command(kind, recorded, describe(MessageType.GET_EAGER_STATE_KEYS, asked))
        held = self._parse_recorded(messages.GetEagerStateKeysCommand, recorded)
        if not held.HasField("value"):
            self._refuse_no_answer()
        asked.value.CopyFrom(held.value)
        self._require_equal(kind, recorded, asked.SerializeToString())
        try:
            self._ready[handle] = read_state_keys(held.value)
        except RemoteProtocolError as error:
            self._die(error)

    def _refuse_no_answer(self) -> NoReturn:
        self._die(
            RemoteProtocolError(
                f"The recorded read of state (command {self._command_index}) has no answer.", command=self.last_command
            )
        )
