"""What the runtime does after a commit: the answers of `durably.engine.core.apply`, in their order.

Nothing here may be done, sent or shown before the transaction that produced it is committed. All of
it can be lost in a crash: `Recover` brings back what still has to happen.

What the runtime keeps in memory: the attempts that are open, the reply tokens that wait for an
invocation (`Await` adds one, `Settled` answers all of an invocation), and the time of its one timer.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from durably.engine.records import AttemptPlan, Headers

__all__ = [
    "Abort",
    "Accepted",
    "Action",
    "ArmSweep",
    "ArmTimer",
    "Await",
    "ContinueRecovery",
    "Deliver",
    "Done",
    "Failed",
    "FailureSource",
    "HalfClose",
    "NotReady",
    "Outcome",
    "Registered",
    "RegistryChanged",
    "Reply",
    "Restarted",
    "Settled",
    "StartAttempt",
    "Success",
]


# ---- outcomes


class FailureSource(enum.Enum):
    """Whose failure it is: the handler's, or of the request that the engine refused."""

    INVOCATION = "invocation"
    INGRESS = "ingress"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Success:
    """The invocation's value.

    Attributes:
        invocation_id: Whose.
        value: The output, verbatim.
        expires_at: When a stored result is deleted, epoch in ms; None where it was not served from the store.
    """

    invocation_id: str
    value: bytes
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The invocation's failure, or why the request was refused.

    Attributes:
        code: HTTP status where it is one, else any number of a handler.
        message: Text for the caller.
        metadata: Of the handler's failure.
        source: Whose failure.
        invocation_id: Whose, where there is one.
        doc_code: `META0006` and the like for operators, or "".
        expires_at: As in `Success`.
    """

    code: int
    message: str
    metadata: Headers = ()
    source: FailureSource = FailureSource.INVOCATION
    invocation_id: str | None = None
    doc_code: str = ""
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A send is stored.

    Attributes:
        invocation_id: Its id.
        is_new: Whether this request made it (`Accepted`), or an earlier one (`PreviouslyAccepted`).
        execution_time_ms: When a delayed one starts, epoch; None for now.
    """

    invocation_id: str
    is_new: bool
    execution_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NotReady:
    """The output was asked for while the invocation runs."""

    invocation_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """An operation is done; or, `appended`, will be when the handler gets there."""

    appended: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """A completed invocation runs again, as a new one."""

    new_invocation_id: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A deployment is registered.

    Attributes:
        deployment_id: Its id.
        is_new: Whether it was not known before.
        changed: Whether anything was stored; False for a known one without `force`, and for a dry run.
        revisions: (service, revision) of each service it brings.
    """

    deployment_id: str
    is_new: bool
    changed: bool
    revisions: tuple[tuple[str, int], ...]


Outcome = Success | Failed | Accepted | NotReady | Done | Restarted | Registered
"""What a request comes to."""


# ---- actions


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request."""

    token: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Await:
    """Keep a request open until the invocation is settled."""

    token: int
    invocation_id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """An invocation has completed: answer every request that awaits it, and forget them."""

    invocation_id: str
    outcome: Success | Failed


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Open an attempt. The runtime may queue it while too many are open.

    Attributes:
        invocation_id: Whose.
        attempt: Its number; frames and the end of the attempt are reported with it.
        plan: What to send. None for long journals: then read it with `plan_attempt` of the core in a reader
            transaction. That answers None when the attempt is no longer the current one: forget it.
    """

    invocation_id: str
    attempt: int
    plan: AttemptPlan | None = None


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send messages to a service, unless its request is half-closed or was never open: they are journaled.

    Attributes:
        invocation_id: Whose.
        attempt: Which.
        frames: Type, flags and payload of each message.
        indexes: Journal index of each; those below the plan's `known_entries` were sent with the journal already.
    """

    invocation_id: str
    attempt: int
    frames: tuple[tuple[int, int, bytes], ...]
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HalfClose:
    """End the request body of an attempt, so that the service suspends when it next waits."""

    invocation_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Abort:
    """Cut an attempt, open or queued, and report nothing more of it."""

    invocation_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ArmTimer:
    """Report `TimerDue` at this time, or earlier if an earlier one is armed."""

    due_ms: int


@dataclass(frozen=True, slots=True)
class ArmSweep:
    """Report `Sweep` at this time or later; the first one after start-up is the runtime's to decide."""

    due_ms: int


@dataclass(frozen=True, slots=True)
class ContinueRecovery:
    """Report `Recover(after)` next; other events may come between."""

    after: str


@dataclass(frozen=True, slots=True)
class RegistryChanged:
    """Deployments or services changed: read snapshots of them anew."""


Action = (
    Reply
    | Await
    | Settled
    | StartAttempt
    | Deliver
    | HalfClose
    | Abort
    | ArmTimer
    | ArmSweep
    | ContinueRecovery
    | RegistryChanged
)
"""Everything that can be asked of the runtime."""
