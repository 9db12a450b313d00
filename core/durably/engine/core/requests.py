"""What the ingress asks about invocations that exist, and what it sends them.

    request             unknown              not completed    completed
    ------------------  -------------------  ---------------  -----------------------
    attach              404 `not found`      waits            result, with its expiry
    output              404 `not found`      `NotReady`       result, with its expiry
    complete awakeable  `Done`, no effect    signal           `Done`, no effect
    send signal         `Done`, no effect    signal           `Done`, no effect

That an unknown awakeable is accepted tells nobody whether it exists.
"""

from __future__ import annotations

from typing import Final

from durably.engine.actions import Done, Failed, FailureSource, NotReady
from durably.engine.core import calls, signals
from durably.engine.core.completion import outcome_of
from durably.engine.core.turn import Turn
from durably.engine.events import Attach, CompleteAwakeable, GetOutput, SendSignal
from durably.engine.records import Invocation, Status
from durably.protocol.ids import InvocationId

__all__ = ["attach", "complete_awakeable", "get_output", "send_signal"]

_JOURNAL_FULL: Final = Failed(429, "The journal has no room for more signals.", source=FailureSource.INGRESS)


def attach(turn: Turn, event: Attach) -> None:
    """Answer with a result, now or later."""
    invocation = _selected(turn, event)
    if invocation is None:
        return
    if invocation.status is Status.COMPLETED:
        _answer(turn, event.reply, invocation)
    else:
        turn.await_(event.reply, invocation)


def get_output(turn: Turn, event: GetOutput) -> None:
    """Answer with a result, or that there is none yet."""
    invocation = _selected(turn, event)
    if invocation is None:
        return
    if invocation.status is Status.COMPLETED:
        _answer(turn, event.reply, invocation)
    else:
        turn.reply(event.reply, NotReady(invocation.id))


def complete_awakeable(turn: Turn, event: CompleteAwakeable) -> None:
    """Complete an awakeable from outside."""
    try:
        target = signals.awakeable_target(event.awakeable_id)
    except ValueError as error:
        turn.reply(event.reply, Failed(400, str(error), source=FailureSource.INGRESS))
        return
    if target is None:
        turn.reply(event.reply, Done())
    else:
        _signal(turn, target[0], target[1], event)


def send_signal(turn: Turn, event: SendSignal) -> None:
    """Send a signal from outside."""
    try:
        InvocationId.decode(event.invocation_id)
    except ValueError as error:
        turn.reply(event.reply, Failed(400, str(error), source=FailureSource.INGRESS))
        return
    _signal(turn, event.invocation_id, event.signal, event)


def _signal(turn: Turn, invocation_id: str, signal: int | str, event: CompleteAwakeable | SendSignal) -> None:
    if signals.has_room(turn, invocation_id):
        signals.signal(turn, invocation_id, signal, event.result)
        turn.reply(event.reply, Done())
    else:
        turn.reply(event.reply, _JOURNAL_FULL)


def _selected(turn: Turn, event: Attach | GetOutput) -> Invocation | None:
    invocation_id = calls.selected_id(turn.tx, event.selector)
    invocation = turn.live(invocation_id)
    if invocation is None:
        missing = calls.NOT_FOUND
        turn.reply(event.reply, Failed(missing.code, missing.message, invocation_id=invocation_id))
    return invocation


def _answer(turn: Turn, reply: int, invocation: Invocation) -> None:
    result = turn.tx.result(invocation.id)
    turn.reply(reply, outcome_of(invocation.id, b"" if result is None else result, invocation.expires_at))
