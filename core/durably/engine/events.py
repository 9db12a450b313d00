"""What happens to the engine, from the ingress, operators, services, timers and start-up.

`durably.engine.core.apply` takes one event, changes the store and returns actions. Events carry a
`reply` token where someone waits for an answer; what comes back is `Reply` with that token, or
`Await` first, then `Settled` for the invocation. None means that nobody waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from durably.engine.records import AttemptFailure, Deployment, Headers, OptionsRecord, Result, StateEdit, Target
from durably.protocol.manifest import ServiceManifest

__all__ = [
    "Attach",
    "AttemptEnded",
    "AttemptFrames",
    "AttemptStarted",
    "Cancel",
    "CompleteAwakeable",
    "DeleteDeployment",
    "EditState",
    "Event",
    "Frame",
    "GetOutput",
    "IdempotentSelector",
    "InvocationSelector",
    "Invoke",
    "Kill",
    "PatchService",
    "Pause",
    "Purge",
    "Recover",
    "RegisterDeployment",
    "Restart",
    "Resume",
    "Selector",
    "SendSignal",
    "Sweep",
    "TimerDue",
    "WorkflowSelector",
]

Frame = tuple[int, int, bytes]
"""Type, flags and payload of a message."""


@dataclass(frozen=True, slots=True)
class InvocationSelector:
    """An invocation by its id."""

    invocation_id: str


@dataclass(frozen=True, slots=True)
class WorkflowSelector:
    """A workflow's run by workflow and key."""

    workflow: str
    key: str


@dataclass(frozen=True, slots=True)
class IdempotentSelector:
    """An invocation by the idempotency key it was made with; key "" for plain services."""

    service: str
    key: str
    handler: str
    idempotency_key: str


Selector = InvocationSelector | WorkflowSelector | IdempotentSelector
"""Which invocation a request is about."""


# ---- ingress


@dataclass(frozen=True, slots=True)
class Invoke:
    """A call or a send from outside. The ingress has checked privacy, input descriptor and limits.

    Answers: calls `Await`, then `Settled`; or at once `Reply` with `Success` or `Failed` where the result is stored.
    Sends `Reply` with `Accepted`. Unknown targets: `Failed` 404, source INGRESS.

    Attributes:
        target: Which handler; key "" for plain services.
        body: Payload, verbatim.
        headers: As the handler gets them.
        reply: Who waits.
        is_send: Whether the answer is due before the handler has run.
        idempotency_key: Makes repeated requests one invocation.
        delay_until_ms: When a send starts, epoch; None for now.
        scope: Refused with 400: not supported.
        limit_key: As `scope`.
    """

    target: Target
    body: bytes
    headers: Headers = ()
    reply: int | None = None
    is_send: bool = False
    idempotency_key: str | None = None
    delay_until_ms: int | None = None
    scope: str | None = None
    limit_key: str | None = None


@dataclass(frozen=True, slots=True)
class Attach:
    """Wait for the result of an invocation. Answers as a call does; unknown: `Failed` 404 `not found`."""

    selector: Selector
    reply: int


@dataclass(frozen=True, slots=True)
class GetOutput:
    """Ask for the result of an invocation. Answers `Success`, `Failed`, or `NotReady`; unknown: `Failed` 404."""

    selector: Selector
    reply: int


@dataclass(frozen=True, slots=True)
class CompleteAwakeable:
    """Resolve or reject an awakeable.

    Answers `Done`, for unknown ones too; malformed ids `Failed` 400; more signals than a journal may hold 429.
    """

    awakeable_id: str
    result: Result
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Send a signal to an invocation. Answers as `CompleteAwakeable` does.

    Attributes:
        invocation_id: To whom.
        signal: Index or name.
        result: What it brings.
        reply: Who waits.
    """

    invocation_id: str
    signal: int | str
    result: Result
    reply: int | None = None


# ---- operators; unknown invocations are answered with `Failed` 404, source ADMIN


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an invocation. Answers `Done`, `appended` where the handler decides; completed ones 409."""

    invocation_id: str
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """End an invocation and all that it called, without asking the handlers. Completed ones 409."""

    invocation_id: str
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause an invocation at its next suspension or failure. Answers `Done`, `appended` until it is paused.

    Scheduled, inboxed and completed ones 409.
    """

    invocation_id: str
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Start the next attempt of an invocation that is paused or backs off, at once.

    Suspended ones begin an attempt too; for running ones nothing changes, except that another deployment is refused
    with 409. Scheduled and inboxed ones 425, completed ones 409; a deployment that does not exist or does not speak
    the pinned version 400.

    Attributes:
        invocation_id: Which.
        deployment: `keep`, `latest` or a deployment's id.
        reply: Who waits.
    """

    invocation_id: str
    deployment: str = "keep"
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """Run a completed invocation again, as a new one. Answers `Restarted`.

    Not started 425, not completed 409, workflows 422, journal gone 410, a prefix that ends amid a command 400.

    Attributes:
        invocation_id: Which.
        from_index: Last journal index to copy; 0 copies only the input.
        deployment: `latest`, `keep` or a deployment's id.
        reply: Who waits.
    """

    invocation_id: str
    from_index: int = 0
    deployment: str = "latest"
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class Purge:
    """Delete what is stored of a completed invocation; for a workflow's run also state and promises. Else 409."""

    invocation_id: str
    journal_only: bool = False
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class EditState:
    """Replace the state of an object's or workflow's key, in its turn. Answers `Done`; plain services 400."""

    service: str
    key: str
    edit: StateEdit
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class PatchService:
    """Change options of a service's latest revision: those that are not None. Answers `Done`; unknown 404."""

    service: str
    options: OptionsRecord
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class RegisterDeployment:
    """Register what was discovered. Answers `Registered`, or `Failed` with a META code.

    Attributes:
        deployment: What was discovered. Its id is used when its uri is new, else the known one's.
        services: Its manifest.
        force: Whether to replace the services of a known uri; else a known uri is left as it is.
        breaking: Whether a service may change its type.
        dry_run: Whether to check only.
        reply: Who waits.
    """

    deployment: Deployment
    services: tuple[ServiceManifest, ...]
    force: bool = False
    breaking: bool = False
    dry_run: bool = False
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteDeployment:
    """Forget a deployment and the services that have no other. Answers `Done`; unknown 404."""

    deployment_id: str
    reply: int | None = None


# ---- attempts


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A service answered with a head that is right. Optional: it only informs operators.

    Attributes:
        invocation_id: Whose.
        attempt: Which.
        server: `x-restate-server`, or None.
    """

    invocation_id: str
    attempt: int
    server: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptFrames:
    """A service sent messages; in their order, End, Suspension and Error included.

    After one of these three the attempt is over: the runtime drains it and reports nothing more.
    """

    invocation_id: str
    attempt: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt ended without End, Suspension or Error.

    Attributes:
        invocation_id: Whose.
        attempt: Which.
        failure: Why; None when the response simply ended.
    """

    invocation_id: str
    attempt: int
    failure: AttemptFailure | None = None


# ---- time


@dataclass(frozen=True, slots=True)
class TimerDue:
    """A timer that `ArmTimer` asked for is due. A batch is handled; `ArmTimer` asks for the next."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete a batch of what retention no longer keeps. `ArmSweep` asks for the next."""


@dataclass(frozen=True, slots=True)
class Recover:
    """The engine has started, or has taken over: once, before everything else.

    Every invocation that was running or backing off starts a new attempt. Handled in batches: while there is more
    the actions hold `ContinueRecovery`, to be answered with `Recover(after=…)`.

    Attributes:
        after: Last invocation handled, "" at first.
    """

    after: str = ""


Event = (
    Invoke
    | Attach
    | GetOutput
    | CompleteAwakeable
    | SendSignal
    | Cancel
    | Kill
    | Pause
    | Resume
    | Restart
    | Purge
    | EditState
    | PatchService
    | RegisterDeployment
    | DeleteDeployment
    | AttemptStarted
    | AttemptFrames
    | AttemptEnded
    | TimerDue
    | Sweep
    | Recover
)
"""Everything that can happen."""
