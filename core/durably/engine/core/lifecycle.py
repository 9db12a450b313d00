"""What operators, and handlers that cancel others, do to invocations.

    operation  SCHEDULED, INBOXED  RUNNING             SUSPENDED  BACKING_OFF  PAUSED      COMPLETED
    ---------  ------------------  ------------------  ---------  -----------  ----------  ---------
    cancel     ends, 409 canceled  signal              signal     signal       signal      refused
    kill       ends, 409 killed    ends                ends       ends         ends        refused
    pause      refused, 409        at the next stop    no change  paused       no change   refused
    resume     refused, 425        no change           attempt    attempt      attempt     refused
    purge      refused             refused             refused    refused      refused     deleted

`signal` appends CANCEL: the handler decides, and cancels its own children. A kill asks nobody: the
engine kills the children too. A pause of a running attempt ends its request, so that the service
suspends at its next wait.
"""

from __future__ import annotations

from typing import Final

from durably.engine.actions import Done, Failed, FailureSource, HalfClose
from durably.engine.core import failures
from durably.engine.core.completion import complete, forget, forget_journal
from durably.engine.core.turn import Turn
from durably.engine.core.waking import send_signal
from durably.engine.events import Cancel, Kill, Pause, Purge, Resume
from durably.engine.records import CANCEL_SIGNAL, Deployment, Failure, Invocation, Status, TimerKind

__all__ = [
    "cancel",
    "cancel_request",
    "choose",
    "kill",
    "kill_request",
    "pause_request",
    "purge_request",
    "refuse",
    "resume_request",
]

CANCELED: Final = Failure(409, "canceled")
KILLED: Final = Failure(409, "killed")

NOT_FOUND: Final = (404, "Invocation {} does not exist.")
COMPLETED: Final = (409, "Invocation {} has completed.")
NOT_STARTED: Final = (425, "Invocation {} has not started.")
NOT_RUNNING: Final = (409, "Invocation {} does not run: it cannot be paused.")
RUNNING: Final = (409, "Invocation {} is running; pause it to change its deployment.")
NOT_COMPLETED: Final = (409, "Invocation {} has not completed.")

_HAS_NOT_STARTED: Final = (Status.SCHEDULED, Status.INBOXED)


def cancel(turn: Turn, invocation: Invocation) -> bool:
    """Cancel an invocation; tell whether its handler has the last word."""
    if invocation.status in _HAS_NOT_STARTED:
        complete(turn, invocation, CANCELED)
        return False
    send_signal(turn, invocation, -CANCEL_SIGNAL)
    return True


def kill(turn: Turn, invocation: Invocation) -> None:
    """End an invocation and, whatever their depth, all that it invoked."""
    stack = [invocation]
    while stack:
        victim = stack.pop()
        if victim.status is Status.COMPLETED:
            continue
        if victim.has_children:
            turn.flush()
            children = [turn.invocation(child_id) for child_id in turn.tx.children(victim.id)]
            stack += [child for child in reversed(children) if child is not None]
        turn.abort(victim)
        complete(turn, victim, KILLED)


def cancel_request(turn: Turn, event: Cancel) -> None:
    """Do what an operator asks."""
    invocation = turn.live(event.invocation_id)
    if invocation is None:
        refuse(turn, event.reply, NOT_FOUND, event.invocation_id)
    elif invocation.status is Status.COMPLETED:
        refuse(turn, event.reply, COMPLETED, event.invocation_id)
    else:
        turn.reply(event.reply, Done(appended=cancel(turn, invocation)))


def kill_request(turn: Turn, event: Kill) -> None:
    """Do what an operator asks."""
    invocation = turn.live(event.invocation_id)
    if invocation is None:
        refuse(turn, event.reply, NOT_FOUND, event.invocation_id)
    elif invocation.status is Status.COMPLETED:
        refuse(turn, event.reply, COMPLETED, event.invocation_id)
    else:
        kill(turn, invocation)
        turn.reply(event.reply, Done())


def pause_request(turn: Turn, event: Pause) -> None:
    """Do what an operator asks."""
    invocation = turn.live(event.invocation_id)
    if invocation is None:
        refuse(turn, event.reply, NOT_FOUND, event.invocation_id)
        return
    match invocation.status:
        case Status.SCHEDULED | Status.INBOXED | Status.COMPLETED:
            refuse(turn, event.reply, NOT_RUNNING, event.invocation_id)
        case Status.SUSPENDED | Status.PAUSED:
            turn.reply(event.reply, Done())
        case Status.BACKING_OFF:
            failures.pause(turn, invocation)
            turn.reply(event.reply, Done(appended=True))
        case Status.RUNNING:
            invocation.pause_requested = True
            turn.change(invocation)
            turn.actions.append(HalfClose(invocation.id, invocation.attempt))
            turn.reply(event.reply, Done(appended=True))


def resume_request(turn: Turn, event: Resume) -> None:
    """Do what an operator asks."""
    invocation = turn.live(event.invocation_id)
    if invocation is None:
        refuse(turn, event.reply, NOT_FOUND, event.invocation_id)
        return
    match invocation.status:
        case Status.SCHEDULED | Status.INBOXED:
            refuse(turn, event.reply, NOT_STARTED, event.invocation_id)
        case Status.COMPLETED:
            refuse(turn, event.reply, COMPLETED, event.invocation_id)
        case Status.RUNNING | Status.SUSPENDED | Status.BACKING_OFF | Status.PAUSED:
            _resume(turn, event, invocation)


def _resume(turn: Turn, event: Resume, invocation: Invocation) -> None:
    chosen = choose(turn, invocation, event.deployment)
    if isinstance(chosen, Failed):
        turn.reply(event.reply, chosen)
        return
    if invocation.status is Status.RUNNING:
        if chosen is not None:
            refuse(turn, event.reply, RUNNING, event.invocation_id)
            return
        invocation.pause_requested = False
        turn.change(invocation)
    else:
        if chosen is not None:
            invocation.deployment_id = chosen.id
        turn.tx.delete_timer(invocation.id, TimerKind.RETRY)
        invocation.retry_count = 0
        turn.activate(invocation)
    turn.reply(event.reply, Done())


def choose(turn: Turn, invocation: Invocation, wanted: str) -> Deployment | Failed | None:
    """Give the deployment that an operator wants for an invocation: None keeps what it has."""
    if wanted == "keep":
        return None
    deployment_id = wanted
    if wanted == "latest":
        service = turn.tx.service(invocation.service)
        if service is None:
            return _admin(400, f"No deployment has service {invocation.service!r}.")
        deployment_id = service.deployment_id
    deployment = turn.tx.deployment(deployment_id)
    if deployment is None or turn.tx.service_at(invocation.service, deployment_id) is None:
        return _admin(400, f"There is no deployment {deployment_id} with service {invocation.service!r}.")
    version = invocation.protocol_version
    if version is not None and not deployment.min_protocol_version <= version <= deployment.max_protocol_version:
        return _admin(400, f"Deployment {deployment_id} does not speak V{version}, which the invocation began with.")
    return deployment


def purge_request(turn: Turn, event: Purge) -> None:
    """Do what an operator asks."""
    invocation = turn.live(event.invocation_id)
    if invocation is None:
        refuse(turn, event.reply, NOT_FOUND, event.invocation_id)
    elif invocation.status is not Status.COMPLETED:
        refuse(turn, event.reply, NOT_COMPLETED, event.invocation_id)
    else:
        if event.journal_only:
            forget_journal(turn, invocation)
        else:
            forget(turn, invocation)
        turn.reply(event.reply, Done())


def refuse(turn: Turn, reply: int | None, why: tuple[int, str], invocation_id: str) -> None:
    """Answer an operator that something cannot be done."""
    turn.reply(reply, _admin(why[0], why[1].format(invocation_id)))


def _admin(code: int, message: str) -> Failed:
    return Failed(code, message, source=FailureSource.ADMIN)
