"""A world without input and output: the engine's state machine, the service's, and dice that decide who moves next.

Both sides are pure state machines; between them lie queues of frames that the dice empty a few at a
time, cut, or lose in a crash. Time moves when the dice say so.
"""

from __future__ import annotations

import json
import random
from collections import deque
from dataclasses import dataclass, field

from durably.engine import events
from durably.engine.actions import Abort, Action, Await, Deliver, HalfClose, Outcome, Reply, Settled, StartAttempt
from durably.engine.core import apply, plan_attempt
from durably.engine.events import Event, Frame
from durably.engine.records import AttemptPlan, EngineOptions, Invocation, Status, Target, TargetKind
from durably.engine.store.memory import MemoryStore
from durably.machine import Machine, Progress
from durably.machine.waiting import AwaitTree
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from tests.engine.core.box import SERVICES, START_MS, deployment
from tests.engine.core.handlers import Handler, handle, program, random_target, resume

__all__ = ["World"]


@dataclass
class Live:
    """An open attempt: the service's machine, and the frames on their way in both directions."""

    plan: AttemptPlan
    machine: Machine
    to_service: deque[Frame]
    to_engine: deque[Frame] = field(default_factory=deque[Frame])
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    half_closed: bool = False
    eof_seen: bool = False
    handler: Handler | None = None
    tree: AwaitTree | None = None
    runs: list[int] = field(default_factory=list[int])


class World:
    """Engine and services, moved by dice.

    Attributes:
        store: Where the engine keeps everything.
        answers: Outcomes of requests, by token.
        acked: Invocations that some request was told of.
        outcomes: All outcomes that were given for an invocation.
        executions: How often each step was executed, by invocation and completion.
        crashes: How often the engine died.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.store = MemoryStore()
        self.now = START_MS
        self.options = EngineOptions(enable_lazy_state=self.dice.random() < 0.3)
        self.request_response = self.dice.random() < 0.3
        self.live: dict[str, Live] = {}
        self.answers: dict[int, Outcome] = {}
        self.acked: set[str] = set()
        self.purged: set[str] = set()
        self.outcomes: dict[str, set[Outcome]] = {}
        self.executions: dict[tuple[str, int], int] = {}
        self.crashes = 0
        self._tokens = 0
        self._awaits: dict[str, list[int]] = {}
        self._journals: dict[str, tuple[Frame, ...]] = {}
        self._holders: dict[tuple[str, str], str] = {}
        self.do(events.RegisterDeployment(deployment(highest=self.dice.choice([5, 6, 7])), SERVICES))

    # ---- the engine

    def do(self, event: Event) -> list[Action]:
        """Apply an event, commit, do the actions."""
        tx = self.store.begin()
        actions = apply(tx, event, self.now, self.dice, self.options)
        self.store.commit()
        for action in actions:
            self._act(action)
        return actions

    def token(self) -> int:
        """A new reply token."""
        self._tokens += 1
        return self._tokens

    def invocation(self, invocation_id: str) -> Invocation | None:
        """Read an invocation."""
        return self.store.read(lambda reader: reader.invocation(invocation_id))

    def unfinished(self) -> list[Invocation]:
        """All invocations that have not completed."""
        rows = self.store._rows.invocations
        found = [row.invocation for row in rows if row.invocation.status is not Status.COMPLETED]
        return sorted(found, key=lambda invocation: invocation.id)

    def _act(self, action: Action) -> None:
        match action:
            case StartAttempt(invocation_id, attempt, plan):
                if plan is None or self.dice.random() < 0.5:
                    plan = self.store.read(
                        lambda reader: plan_attempt(reader, invocation_id, attempt, self.options, self.now)
                    )
                assert plan is not None
                self._open(plan)
            case Deliver(invocation_id, attempt, frames, indexes):
                live = self.live.get(invocation_id)
                if live is not None and live.plan.attempt == attempt and not live.half_closed:
                    known = live.plan.known_entries
                    live.to_service += [item for item, at in zip(frames, indexes, strict=True) if at >= known]
            case HalfClose(invocation_id, attempt):
                live = self.live.get(invocation_id)
                if live is not None and live.plan.attempt == attempt:
                    live.half_closed = True
            case Abort(invocation_id, attempt):
                live = self.live.get(invocation_id)
                if live is not None and live.plan.attempt == attempt:
                    del self.live[invocation_id]
            case Reply(token, outcome):
                self._answer(token, outcome)
            case Await(token, invocation_id):
                self.acked.add(invocation_id)
                self._awaits.setdefault(invocation_id, []).append(token)
            case Settled(invocation_id, outcome):
                self.outcomes.setdefault(invocation_id, set()).add(outcome)
                self._release(invocation_id)
                for token in self._awaits.pop(invocation_id, []):
                    self._answer(token, outcome)
            case _:
                pass

    def _answer(self, token: int, outcome: Outcome) -> None:
        assert token not in self.answers, "a request is answered twice"
        self.answers[token] = outcome
        invocation_id = getattr(outcome, "invocation_id", None)
        if invocation_id is not None and not isinstance(outcome, events.Attach) and self.invocation(invocation_id):
            self.acked.add(invocation_id)

    def _open(self, plan: AttemptPlan) -> None:
        invocation_id = plan.invocation_id
        old = self.live.get(invocation_id)
        assert old is None or old.machine.is_closed, "an attempt begins while another is open"
        entries = plan.frames[1:]
        before = self._journals.get(invocation_id, ())
        assert entries[: len(before)] == before, "the journal of an attempt does not continue the last one's"
        self._journals[invocation_id] = entries
        invocation = self.invocation(invocation_id)
        assert invocation is not None
        if invocation.kind is TargetKind.EXCLUSIVE:
            holder = self._holders.setdefault((invocation.service, invocation.key), invocation_id)
            assert holder == invocation_id, "two exclusive handlers of a key overlap"
        live = Live(plan, Machine(plan.version), deque(plan.frames), half_closed=self.request_response)
        self.live[invocation_id] = live

    def _release(self, invocation_id: str) -> None:
        for key, holder in list(self._holders.items()):
            if holder == invocation_id:
                del self._holders[key]

    # ---- the services

    def _receive(self, live: Live) -> None:
        """Hand a few frames to the service, then let it go on."""
        for _ in range(min(len(live.to_service), self.dice.randrange(1, 6))):
            live.machine.receive_data(encode_frame(*_swapped(live.to_service.popleft())))
        if live.half_closed and not live.to_service and not live.eof_seen:
            live.eof_seen = True
            live.machine.receive_eof()
        self._go_on(live)

    def _go_on(self, live: Live) -> None:
        machine = live.machine
        if live.handler is None:
            if not machine.is_ready_to_execute:
                return
            live.handler = handle(machine, self.now)
        while not machine.is_closed:
            live.tree, stop = resume(machine, live.handler, live.tree)
            if stop is not Progress.EXECUTE_RUN:
                break
            live.runs.append(machine.run_to_execute)
        for frame in live.decoder.feed(machine.data_to_send()):
            assert frame[0] != MessageType.ERROR, messages.Error.FromString(frame[2])
            live.to_engine.append(frame)

    def _execute(self, live: Live) -> None:
        """Execute a step that the service was told to."""
        handle = live.runs.pop(self.dice.randrange(len(live.runs)))
        name = (live.plan.invocation_id, handle)
        self.executions[name] = self.executions.get(name, 0) + 1
        live.machine.propose_run_success(handle, json.dumps([*name, self.executions[name]]).encode())
        self._go_on(live)

    def _report(self, invocation_id: str, live: Live) -> None:
        """Hand a few of the service's frames to the engine."""
        count = self.dice.randrange(1, len(live.to_engine) + 1)
        frames = tuple(live.to_engine.popleft() for _ in range(count))
        if live.machine.is_closed and not live.to_engine:
            del self.live[invocation_id]
        actions = self.do(events.AttemptFrames(invocation_id, live.plan.attempt, frames))
        assert not any(isinstance(action, Abort) for action in actions), self.invocation(invocation_id)

    # ---- moves

    def settle(self) -> bool:
        """Make one honest move; False when only time could bring another."""
        moves = []
        for invocation_id, live in sorted(self.live.items()):
            if live.to_service or (live.half_closed and not live.eof_seen):
                moves.append((self._receive, (live,)))
            if live.runs and not live.machine.is_closed:
                moves.append((self._execute, (live,)))
            if live.to_engine:
                moves.append((self._report, (invocation_id, live)))
        if not moves:
            return False
        move, arguments = self.dice.choice(moves)
        move(*arguments)
        return True

    def pass_time(self) -> bool:
        """Go to the next timer; False when there is none."""
        due = self.store.read(lambda reader: reader.next_timer())
        if due is None:
            return False
        self.now = max(self.now, due)
        self.do(events.TimerDue(self.now))
        return True

    def request(self) -> None:
        """Have somebody call or send."""
        service, key, handler = random_target(self.dice)
        idempotency_key = None
        steps = program(self.dice, (service, key, handler))
        if handler == "greet" and self.dice.random() < 0.3:
            idempotency_key, steps = f"i{self.dice.randrange(3)}", [["run", "same"]]
        is_send = self.dice.random() < 0.5
        delay = self.now + self.dice.randrange(5000) if is_send and self.dice.random() < 0.3 else None
        body = json.dumps(steps).encode()
        target = Target(service, key, handler)
        self.do(events.Invoke(target, body, (), self.token(), is_send, idempotency_key, delay))

    def disturb(self) -> None:
        """Let something go wrong, or an operator do something."""
        kinds = ["cut", "half-close", "half-close", "crash", "time", "time", "operate", "sweep", "signal"]
        kind = self.dice.choice(kinds)
        if kind == "cut" and self.live:
            invocation_id = self.dice.choice(sorted(self.live))
            live = self.live.pop(invocation_id)
            self.do(events.AttemptEnded(invocation_id, live.plan.attempt))
        elif kind == "half-close" and self.live:
            self.live[self.dice.choice(sorted(self.live))].half_closed = True
        elif kind == "crash":
            self.crash()
        elif kind == "time":
            self.pass_time()
        elif kind == "sweep":
            self.do(events.Sweep())
        elif kind == "signal" and (unfinished := self.unfinished()):
            name = f"n{self.dice.randrange(3)}"
            self.do(events.SendSignal(self.dice.choice(unfinished).id, name, b"s", self.token()))
        elif kind == "operate":
            self.operate()

    def crash(self) -> None:
        """Lose all that is not stored, perhaps with an event that was being worked on, and start again."""
        if self.dice.random() < 0.5:
            tx = self.store.begin()
            apply(tx, events.Recover(), self.now, self.dice, self.options)
            self.store.rollback()
        self.crashes += 1
        self.live.clear()
        self._awaits.clear()
        self.do(events.Recover())

    def operate(self) -> None:
        """Have an operator do something to some invocation."""
        rows = self.store._rows.invocations
        ids = sorted(row.invocation.id for row in rows)
        if not ids:
            return
        invocation_id = self.dice.choice(ids)
        kind = self.dice.choice(["cancel", "cancel", "kill", "pause", "pause", "resume", "resume", "restart", "purge"])
        token = self.token()
        match kind:
            case "cancel":
                self.do(events.Cancel(invocation_id, token))
            case "kill":
                self.do(events.Kill(invocation_id, token))
            case "pause":
                self.do(events.Pause(invocation_id, token))
            case "resume":
                self.do(events.Resume(invocation_id, "keep", token))
            case "restart":
                journal = self.store.read(lambda reader: reader.entries(invocation_id, 1))
                # A copy has another id: what its handler recorded about its own id it could not repeat.
                knows_itself = any(name in entry.payload for entry in journal for name in (b"awakeable", b"self"))
                from_index = 0 if knows_itself else self.dice.randrange(4)
                self.do(events.Restart(invocation_id, from_index, "keep", token))
            case _:
                self.do(events.Purge(invocation_id, self.dice.random() < 0.5, token))
                if self.invocation(invocation_id) is None:
                    self.purged.add(invocation_id)
                    self.outcomes.pop(invocation_id, None)
                    self._journals.pop(invocation_id, None)

    def finish(self) -> None:
        """Without further trouble, let everything come to its end."""
        for _ in range(200_000):
            if self.settle() or self.pass_time():
                continue
            unfinished = self.unfinished()
            if not unfinished:
                return
            for invocation in unfinished:
                if invocation.status is Status.PAUSED:
                    self.do(events.Resume(invocation.id))
                elif invocation.status is Status.RUNNING:
                    self.live[invocation.id].half_closed = True
                else:
                    for name in ("n0", "n1", "n2"):
                        self.do(events.SendSignal(invocation.id, name, b"s"))
        raise AssertionError(f"something never ends: {self.unfinished()}")


def _swapped(frame: Frame) -> tuple[int, bytes, int]:
    return frame[0], frame[2], frame[1]
