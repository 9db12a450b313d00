"""The state machine in a box: a store in memory, a clock and dice that tests hold, and services made of frames."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message

from durably.engine.actions import (
    Action,
    Await,
    Deliver,
    Reply,
    Settled,
    StartAttempt,
)
from durably.engine.core import apply, plan_attempt
from durably.engine.events import AttemptEnded, AttemptFrames, Event, Frame, Invoke, RegisterDeployment, TimerDue
from durably.engine.records import (
    AttemptFailure,
    AttemptPlan,
    Deployment,
    EngineOptions,
    Headers,
    Invocation,
    JournalEntry,
    ProtocolMode,
    Status,
    Target,
)
from durably.engine.store.contract import Reader
from durably.engine.store.memory import MemoryStore
from durably.protocol import messages
from durably.protocol.manifest import HandlerManifest, HandlerType, ServiceManifest, ServiceType
from durably.protocol.messages import CLASS_OF, MessageType

__all__ = ["SERVICES", "Box", "deployment", "frame"]

T = TypeVar("T")

START_MS = 1_700_000_000_000


def deployment(number: int = 1, *, lowest: int = 5, highest: int = 7) -> Deployment:
    """A place where the services run."""
    uri = f"http://localhost:{9000 + number}"
    return Deployment(f"dp_{number}", uri, START_MS, ProtocolMode.BIDI_STREAM, "HTTP/2.0", lowest, highest)


SERVICES = (
    ServiceManifest(name="Greeter", type=ServiceType.SERVICE, handlers=(HandlerManifest(name="greet"),)),
    ServiceManifest(
        name="Counter",
        type=ServiceType.VIRTUAL_OBJECT,
        handlers=(
            HandlerManifest(name="add", type=HandlerType.EXCLUSIVE),
            HandlerManifest(name="get", type=HandlerType.SHARED),
        ),
    ),
    ServiceManifest(
        name="Flow",
        type=ServiceType.WORKFLOW,
        handlers=(
            HandlerManifest(name="run", type=HandlerType.WORKFLOW),
            HandlerManifest(name="poke", type=HandlerType.SHARED),
        ),
    ),
    ServiceManifest(
        name="Fleeting",
        type=ServiceType.SERVICE,
        journal_retention=timedelta(0),
        handlers=(HandlerManifest(name="greet"),),
    ),
)


def frame(type: MessageType, message: Message | None = None, flags: int = 0) -> Frame:
    """A message as a service sends it."""
    return int(type), flags, b"" if message is None else message.SerializeToString()


class Box:
    """The engine's state machine, with a service on the other side that sends what a test says.

    Attributes:
        store: Where everything is.
        now: The time in milliseconds; tests move it.
        actions: What the last event gave.
        replies: Answers by token.
        plans: The plans of all attempts, by invocation, in order.
        delivered: The frames sent to each attempt after its plan.
    """

    def __init__(
        self,
        services: tuple[ServiceManifest, ...] = SERVICES,
        *,
        seed: int = 1,
        options: EngineOptions | None = None,
        version: int = 7,
    ) -> None:
        self.store = MemoryStore()
        self.now = START_MS
        self.random = random.Random(seed)
        self.options = options or EngineOptions()
        self.actions: list[Action] = []
        self.replies: dict[int, Any] = {}
        self.plans: dict[str, list[AttemptPlan]] = {}
        self.delivered: dict[tuple[str, int], list[Frame]] = {}
        self._awaits: dict[str, list[int]] = {}
        self._tokens = 0
        self.do(RegisterDeployment(deployment(highest=version), services))

    # ---- events

    def do(self, event: Event) -> list[Action]:
        """Apply an event, commit, and do the actions."""
        tx = self.store.begin()
        try:
            self.actions = apply(tx, event, self.now, self.random, self.options)
        except BaseException:
            self.store.rollback()
            raise
        self.store.commit()
        for action in self.actions:
            self._act(action)
        return self.actions

    def token(self) -> int:
        """A new reply token."""
        self._tokens += 1
        return self._tokens

    def invoke(
        self,
        handler: str = "Greeter/greet",
        body: bytes = b"",
        *,
        key: str = "",
        idempotency_key: str | None = None,
        send: bool = False,
        delay_ms: int | None = None,
        headers: Headers = (),
    ) -> int:
        """Call or send from outside; give the token."""
        service, name = handler.split("/")
        token = self.token()
        until = None if delay_ms is None else self.now + delay_ms
        target = Target(service, key, name)
        self.do(Invoke(target, body, headers, token, send, idempotency_key, until))
        return token

    def started(self, handler: str = "Greeter/greet", body: bytes = b"", *, key: str = "") -> str:
        """Send from outside; give the invocation's id."""
        return self.replies[self.invoke(handler, body, key=key, send=True)].invocation_id

    def send(self, invocation_id: str, *frames: Frame) -> list[Action]:
        """Have the service of the current attempt send frames."""
        return self.do(AttemptFrames(invocation_id, self.get(invocation_id).attempt, frames))

    def fail(self, invocation_id: str, failure: AttemptFailure | None = None) -> list[Action]:
        """Have the current attempt end without a word."""
        return self.do(AttemptEnded(invocation_id, self.get(invocation_id).attempt, failure))

    def output(self, invocation_id: str, value: bytes = b"done") -> None:
        """Have the service complete the invocation."""
        result = messages.OutputCommand(value=messages.Value(content=value))
        self.send(invocation_id, frame(MessageType.OUTPUT, result), frame(MessageType.END))

    def suspend(
        self, invocation_id: str, *completions: int, signals: Iterable[int] = (1,), names: Iterable[str] = ()
    ) -> None:
        """Have the service suspend until any of these comes."""
        if (self.get(invocation_id).attempt_version or 0) >= 7:
            future = messages.Future(
                waiting_completions=completions,
                waiting_signals=signals,
                waiting_named_signals=names,
                combinator_type=1,
            )
            suspension = messages.Suspension(awaiting_on=future)
        else:
            suspension = messages.Suspension(
                waiting_completions=completions, waiting_signals=signals, waiting_named_signals=names
            )
        self.send(invocation_id, frame(MessageType.SUSPENSION, suspension))

    def advance(self, ms: int) -> None:
        """Let time pass and handle the timers that are due."""
        self.now += ms
        self.do(TimerDue(self.now))

    # ---- what there is

    def read(self, work: Callable[[Reader], T]) -> T:
        """Read from the store."""
        return self.store.read(work)

    def find(self, invocation_id: str) -> Invocation | None:
        """An invocation, or None."""
        return self.read(lambda reader: reader.invocation(invocation_id))

    def get(self, invocation_id: str) -> Invocation:
        """An invocation that exists."""
        found = self.find(invocation_id)
        assert found is not None
        return found

    def status(self, invocation_id: str) -> Status:
        """Where an invocation is."""
        return self.get(invocation_id).status

    def journal(self, invocation_id: str) -> list[JournalEntry]:
        """The journal."""
        return self.read(lambda reader: reader.entries(invocation_id))

    def types(self, invocation_id: str) -> list[MessageType]:
        """The journal's message types."""
        return [MessageType(entry.type) for entry in self.journal(invocation_id)]

    def last(self, invocation_id: str) -> messages.Notification:
        """The last journal entry, a notification."""
        return messages.Notification.FromString(self.journal(invocation_id)[-1].payload)

    def messages_of(self, plan: AttemptPlan) -> list[Message]:
        """A plan's messages, parsed."""
        return [CLASS_OF[type].FromString(payload) for type, _, payload in plan.frames]

    def start_of(self, invocation_id: str) -> messages.Start:
        """The Start message of the last attempt."""
        return messages.Start.FromString(self.plans[invocation_id][-1].frames[0][2])

    # ---- actions

    def _act(self, action: Action) -> None:
        match action:
            case Reply(token, outcome):
                assert token not in self.replies, "a request is answered twice"
                self.replies[token] = outcome
            case Await(token, invocation_id):
                self._awaits.setdefault(invocation_id, []).append(token)
            case Settled(invocation_id, outcome):
                for token in self._awaits.pop(invocation_id, []):
                    assert token not in self.replies, "a request is answered twice"
                    self.replies[token] = outcome
            case StartAttempt(invocation_id, attempt, plan):
                if plan is None:
                    plan = self.read(
                        lambda reader: plan_attempt(reader, invocation_id, attempt, self.options, self.now)
                    )
                assert plan is not None
                self.plans.setdefault(invocation_id, []).append(plan)
            case Deliver(invocation_id, attempt, frames, indexes):
                known = self.plans[invocation_id][-1].known_entries
                new = [item for item, index in zip(frames, indexes, strict=True) if index >= known]
                self.delivered.setdefault((invocation_id, attempt), []).extend(new)
            case _:
                pass
