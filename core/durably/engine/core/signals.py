"""Signals and awakeables: results that reach an invocation from anywhere.

Rules

1. A signal has an index or a name. Index 1 is CANCEL; an awakeable is a signal whose index its
   creator drew, so it may be completed before the handler waits for it.
2. Signals are stored as they come. For an invocation that is unknown, has completed, or has not started
   they are dropped; CANCEL ends one that has not started.
3. Nobody can fill a journal with signals: beyond twice the limit for commands they are refused.
4. An id that cannot be one fails the attempt of the handler that sent it (RT0017).
"""

from __future__ import annotations

from durably.engine.core import lifecycle
from durably.engine.core.failures import Violation
from durably.engine.core.results import body_of, failure_of, handle_of_signal
from durably.engine.core.turn import Turn
from durably.engine.core.waking import send_signal
from durably.engine.records import CANCEL_SIGNAL, Failure, Result
from durably.protocol import messages
from durably.protocol.ids import InvocationId, parse_awakeable_id

__all__ = ["awakeable_target", "has_room", "result_of_awakeable", "result_of_signal", "signal", "signal_id_of"]

_OLD_AWAKEABLE_PREFIX = "prom_1"


def has_room(turn: Turn, invocation_id: str) -> bool:
    """Tell whether an invocation may get a further signal; see rule 3."""
    invocation = turn.invocation(invocation_id)
    return invocation is None or invocation.journal_length < 2 * turn.options.limits.journal_entries


def signal(turn: Turn, invocation_id: str, index_or_name: int | str, result: Result) -> None:
    """Send a signal for which there is room; see rule 2."""
    invocation = turn.invocation(invocation_id)
    if invocation is None:
        return
    if index_or_name == CANCEL_SIGNAL:
        lifecycle.cancel(turn, invocation)
    else:
        handle = handle_of_signal(index_or_name)
        send_signal(turn, invocation, handle, body_of(result), failed=isinstance(result, Failure))


def awakeable_target(awakeable_id: str) -> tuple[str, int] | None:
    """Give the invocation and the signal's index of an awakeable, or None for one of a protocol that is gone.

    Raises:
        ValueError: It is not an awakeable's id.
    """
    raw, index = parse_awakeable_id(awakeable_id)
    invocation_id = InvocationId.from_raw(raw).encode()
    return None if awakeable_id.startswith(_OLD_AWAKEABLE_PREFIX) else (invocation_id, index)


def signal_id_of(command: messages.SendSignalCommand) -> int | str:
    """Give the index or the name of the signal that a command sends."""
    match command.WhichOneof("signal_id"):
        case "idx":
            return command.idx
        case "name":
            return command.name
        case _:
            raise Violation("A signal is sent with neither an index nor a name.")


def result_of_signal(command: messages.SendSignalCommand) -> Result:
    """Give what a command's signal brings."""
    match command.WhichOneof("result"):
        case "value":
            return command.value.content
        case "failure":
            return failure_of(command.failure)
        case _:
            return None


def result_of_awakeable(command: messages.CompleteAwakeableCommand) -> Result:
    """Give what a command completes an awakeable with."""
    match command.WhichOneof("result"):
        case "value":
            return command.value.content
        case "failure":
            return failure_of(command.failure)
        case _:
            raise Violation("An awakeable is completed with neither a value nor a failure.")
