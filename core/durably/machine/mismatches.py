"""Telling apart what a journal holds and what a handler asks for, in words.

Owns which fields of a command are compared, the description of commands for people, and the likely
causes of a difference. Payloads and header values are never shown, only their sizes and names: error
texts end up in logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import Message

from durably.protocol.messages import MessageType

__all__ = ["NOT_COMPARED", "PAYLOADS", "Cause", "Difference", "cause_of", "describe", "differences"]

NOT_COMPARED: Final[Mapping[int, frozenset[str]]] = MappingProxyType(
    {
        # Absolute times are read from the clock when the command is made.
        MessageType.SLEEP: frozenset({"wake_up_time", "result_completion_id"}),
        MessageType.ONE_WAY_CALL: frozenset({"invoke_time"}),
    }
)
"""Fields by command that may differ between the journal and the handler."""

PAYLOADS: Final[Mapping[int, frozenset[str]]] = MappingProxyType(
    {
        MessageType.OUTPUT: frozenset({"value"}),
        MessageType.SET_STATE: frozenset({"value"}),
        MessageType.CALL: frozenset({"parameter"}),
        MessageType.ONE_WAY_CALL: frozenset({"parameter"}),
        MessageType.COMPLETE_PROMISE: frozenset({"completion_value"}),
        MessageType.COMPLETE_AWAKEABLE: frozenset({"value"}),
        MessageType.SEND_SIGNAL: frozenset({"value"}),
    }
)
"""Fields by command that hold what the handler serialized. Without payload checks only their presence counts."""

_LONGEST_SHOWN: Final = 80

_IDS: Final = frozenset({"result_completion_id", "invocation_id_notification_idx"})
_LABELS: Final = frozenset({"name", "entry_name"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs.

    Attributes:
        field: Its name in the protocol.
        recorded: What the journal holds, for people.
        asked: What the handler asked for, for people.
        is_payload: Whether it holds what the handler serialized.
    """

    field: str
    recorded: str
    asked: str
    is_payload: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.recorded} in the journal, {self.asked} now"


class Cause:
    """Likely causes, as hints for the developer."""

    OTHER_PATH: Final = (
        "Likely cause: the handler's code changed while this invocation was under way, or a branch depends on something"
        " that is not recorded (the time, randomness, the environment, the order of a set). Read such things inside a"
        " run, and let running invocations finish on the deployment they began with."
    )
    PAYLOAD: Final = (
        "Likely cause: a value depends on something that is not recorded (the time, randomness, a new default), or its"
        " serialization is not repeatable. Compute it inside a run; if only the serialization differs, switch payload"
        " checks off."
    )
    LABEL: Final = "Likely cause: the operation was renamed while this invocation was under way."
    ORDER: Final = "Likely cause: operations are started in another order, or one of them was added or removed."
    ADDED_AWAIT: Final = (
        "Likely cause: an await was added or moved up while this invocation was under way, or whether it is reached"
        " depends on something that is not recorded."
    )


def cause_of(found: Sequence[Difference]) -> str:
    """Choose the likely cause of differences within a command."""
    fields = {difference.field for difference in found}
    if all(difference.is_payload for difference in found):
        return Cause.PAYLOAD
    if fields <= _LABELS:
        return Cause.LABEL
    if fields <= _IDS:
        return Cause.ORDER
    return Cause.OTHER_PATH


def differences(kind: int, recorded: Message, asked: Message, *, with_payloads: bool) -> list[Difference]:
    """Compare two commands of one type field by field.

    Args:
        kind: Their type.
        recorded: The one in the journal.
        asked: The one that the handler asks for.
        with_payloads: Whether payloads must be equal; otherwise they only must both be there.

    Returns:
        The fields that differ and matter, in the protocol's order; empty when the commands match.
    """
    ignored = NOT_COMPARED.get(kind, frozenset())
    payloads = PAYLOADS.get(kind, frozenset())
    held = {field.name: value for field, value in recorded.ListFields()}
    wanted = {field.name: value for field, value in asked.ListFields()}
    found: list[Difference] = []
    for field in recorded.DESCRIPTOR.fields:
        name = field.name
        # A list of messages cannot be compared with None in every protobuf runtime.
        if name in ignored or ((name in held) == (name in wanted) and held.get(name) == wanted.get(name)):
            continue
        is_payload = name in payloads
        # A payload without presence of its own (bytes, not a message) is absent when it is empty.
        if is_payload and not with_payloads and (not field.has_presence or (name in held and name in wanted)):
            continue
        found.append(Difference(name, *_show_both(held.get(name), wanted.get(name)), is_payload=is_payload))
    return found


def _show_both(recorded: Any, asked: Any) -> tuple[str, str]:
    return _show(recorded), _show(asked)


def _show(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bytes():
            return f"{len(value)} bytes"
        case str():
            return _quote(value)
        case int():
            return str(value)
        case Message():
            fields = value.ListFields()
            return " ".join(f"{field.name}={_show(part)}" for field, part in fields) or "empty"
        case _:
            return f"[{', '.join(_show_header(header) for header in value)}]"


def _show_header(header: Any) -> str:
    return f"{header.key}: {len(header.value)} characters"


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


def describe(kind: int, command: Any) -> str:
    """Name a command as its author would, for example `call Counter['a']/add`."""
    words = _DESCRIPTIONS[kind](command)
    label = command.entry_name if kind == MessageType.SEND_SIGNAL else command.name
    return f"{words} {_quote(label)}" if label else words


def _keyed(verb: str) -> Callable[[Any], str]:
    return lambda command: f"{verb} {_quote(command.key.decode(errors='replace'))}"


def _promise(verb: str) -> Callable[[Any], str]:
    return lambda command: f"{verb} promise {_quote(command.key)}"


def _invocation(verb: str) -> Callable[[Any], str]:
    def words(command: Any) -> str:
        key = f"[{_quote(command.key)}]" if command.key else ""
        return f"{verb} {command.service_name}{key}/{command.handler_name}"

    return words


def _targeted(verb: str) -> Callable[[Any], str]:
    def words(command: Any) -> str:
        if command.HasField("workflow_target"):
            target = command.workflow_target
            return f"{verb} {target.workflow_name}[{_quote(target.workflow_key)}]"
        if command.HasField("idempotent_request_target"):
            target = command.idempotent_request_target
            return f"{verb} {target.service_name}/{target.handler_name} with {_quote(target.idempotency_key)}"
        return f"{verb} {command.invocation_id}"

    return words


def _signal(command: Any) -> str:
    if command.WhichOneof("signal_id") == "idx":
        what = "cancel" if command.idx == 1 else f"send signal {command.idx} to"
    else:
        what = f"send signal {_quote(command.name)} to"
    return f"{what} {command.target_invocation_id}"


_DESCRIPTIONS: Final[Mapping[int, Callable[[Any], str]]] = MappingProxyType(
    {
        MessageType.INPUT: lambda _: "input",
        MessageType.OUTPUT: lambda command: "fail" if command.HasField("failure") else "return a result",
        MessageType.GET_LAZY_STATE: _keyed("get state"),
        MessageType.GET_EAGER_STATE: _keyed("get state"),
        MessageType.SET_STATE: _keyed("set state"),
        MessageType.CLEAR_STATE: _keyed("clear state"),
        MessageType.CLEAR_ALL_STATE: lambda _: "clear all state",
        MessageType.GET_LAZY_STATE_KEYS: lambda _: "get state keys",
        MessageType.GET_EAGER_STATE_KEYS: lambda _: "get state keys",
        MessageType.GET_PROMISE: _promise("get"),
        MessageType.PEEK_PROMISE: _promise("peek at"),
        MessageType.COMPLETE_PROMISE: _promise("complete"),
        MessageType.SLEEP: lambda _: "sleep",
        MessageType.CALL: _invocation("call"),
        MessageType.ONE_WAY_CALL: _invocation("send to"),
        MessageType.SEND_SIGNAL: _signal,
        MessageType.RUN: lambda _: "run",
        MessageType.ATTACH_INVOCATION: _targeted("attach to"),
        MessageType.GET_INVOCATION_OUTPUT: _targeted("get the output of"),
        MessageType.COMPLETE_AWAKEABLE: lambda command: f"complete awakeable {_quote(command.awakeable_id)}",
    }
)
