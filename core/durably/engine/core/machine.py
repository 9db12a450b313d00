"""`apply`: one event, one transaction, the actions that follow.

Rules

1. `apply` reads and writes only through the transaction, and decides only by the event, the
   time, the random numbers and the options it is given.
2. It raises nothing for what the world does: refusals are replies, wrong services are failed attempts.
   What it raises comes from the store, or is a mistake here; the transaction is rolled back then.
3. Actions are done after the commit, in their order.
"""

from __future__ import annotations

from typing import assert_never

from durably.engine import events
from durably.engine.actions import Action, Done, Failed, FailureSource
from durably.engine.core import admission, attempts, keys, lifecycle, registry, requests, restart, starting, timers
from durably.engine.core.turn import Randomness, Turn
from durably.engine.events import Event
from durably.engine.records import EngineOptions, ServiceType
from durably.engine.store.contract import Transaction

__all__ = ["apply"]


def apply(tx: Transaction, event: Event, now_ms: int, random: Randomness, options: EngineOptions) -> list[Action]:
    """Change the store as an event demands, and give the actions to do after the commit.

    Args:
        tx: The open transaction. The caller commits it, or rolls it back if this raises.
        event: What happened.
        now_ms: The time, in milliseconds since the epoch.
        random: Where ids, seeds and jitter come from.
        options: Defaults and limits.
    """
    turn = Turn(tx, now_ms, random, options)
    _dispatch(turn, event)
    starting.prepare(turn)
    return turn.finish()


def _dispatch(turn: Turn, event: Event) -> None:
    match event:
        case events.AttemptFrames():
            attempts.frames(turn, event)
        case events.Invoke():
            admission.invoke(turn, event)
        case events.AttemptStarted():
            attempts.started(turn, event)
        case events.AttemptEnded():
            attempts.ended(turn, event)
        case events.TimerDue():
            timers.due(turn, event)
        case events.Attach():
            requests.attach(turn, event)
        case events.GetOutput():
            requests.get_output(turn, event)
        case events.CompleteAwakeable():
            requests.complete_awakeable(turn, event)
        case events.SendSignal():
            requests.send_signal(turn, event)
        case events.Cancel():
            lifecycle.cancel_request(turn, event)
        case events.Kill():
            lifecycle.kill_request(turn, event)
        case events.Pause():
            lifecycle.pause_request(turn, event)
        case events.Resume():
            lifecycle.resume_request(turn, event)
        case events.Restart():
            restart.restart(turn, event)
        case events.Purge():
            lifecycle.purge_request(turn, event)
        case events.EditState():
            _edit_state(turn, event)
        case events.PatchService():
            registry.patch(turn, event)
        case events.RegisterDeployment():
            registry.register(turn, event)
        case events.DeleteDeployment():
            registry.delete(turn, event)
        case events.Sweep():
            timers.sweep(turn, event)
        case events.Recover():
            timers.recover(turn, event)
        case _:
            assert_never(event)


def _edit_state(turn: Turn, event: events.EditState) -> None:
    service = turn.tx.service(event.service)
    if service is None:
        turn.reply(event.reply, Failed(404, f"There is no service {event.service!r}.", source=FailureSource.ADMIN))
    elif service.type is ServiceType.SERVICE:
        message = f"Service {event.service!r} has no state."
        turn.reply(event.reply, Failed(400, message, source=FailureSource.ADMIN))
    else:
        keys.edit_state(turn, event.service, event.key, event.edit)
        turn.reply(event.reply, Done())
