"""Commands about the state of a key.

Rules

1. Only handlers with a key read state; only the exclusive handler of an object and the run of a
   workflow write it. Anything else fails the attempt (RT0017).
2. What an eager read found is the handler's own knowledge: the command is stored as it is.
3. Writes take effect with the command, in the same transaction.
"""

from __future__ import annotations

from durably.engine.core.failures import Violation
from durably.engine.core.results import VOID, body_of, state_keys_body
from durably.engine.core.turn import Turn
from durably.engine.core.waking import complete_command
from durably.engine.records import Invocation
from durably.protocol import messages
from durably.protocol.messages import MessageType

__all__ = ["check_read", "check_write", "clear", "clear_all", "get", "get_names", "put"]


def check_read(invocation: Invocation) -> None:
    """Refuse a read where there is no state."""
    if not invocation.kind.is_keyed:
        raise Violation("A handler of a plain service reads state; only objects and workflows have it.", "RT0017")


def check_write(invocation: Invocation) -> None:
    """Refuse a write of a handler that others may run beside."""
    if not invocation.kind.may_write_state:
        raise Violation(
            "State is written by a handler that may not: only exclusive handlers of objects and the run of a workflow"
            " may.",
            "RT0017",
        )


def get(turn: Turn, invocation: Invocation, command: messages.GetLazyStateCommand) -> None:
    """Answer a lazy read."""
    value = turn.tx.state_value(invocation.service, invocation.key, command.key)
    body = VOID if value is None else body_of(value)
    kind = MessageType.GET_LAZY_STATE_COMPLETION
    complete_command(turn, invocation, kind, command.result_completion_id, body, failed=False)


def get_names(turn: Turn, invocation: Invocation, command: messages.GetLazyStateKeysCommand) -> None:
    """Answer a lazy read of the names."""
    body = state_keys_body(turn.tx.state_names(invocation.service, invocation.key))
    kind = MessageType.GET_LAZY_STATE_KEYS_COMPLETION
    complete_command(turn, invocation, kind, command.result_completion_id, body, failed=False)


def put(turn: Turn, invocation: Invocation, command: messages.SetStateCommand) -> None:
    """Store a value."""
    turn.tx.put_state(invocation.service, invocation.key, command.key, command.value.content)


def clear(turn: Turn, invocation: Invocation, command: messages.ClearStateCommand) -> None:
    """Delete a value."""
    turn.tx.delete_state(invocation.service, invocation.key, command.key)


def clear_all(turn: Turn, invocation: Invocation) -> None:
    """Delete all values."""
    turn.tx.clear_state(invocation.service, invocation.key)
