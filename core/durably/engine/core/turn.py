"""One event's work on the store: what it read, what it changed, and the actions that follow.

Rules

1. A turn has one object for each invocation, so that every part sees what the others changed.
2. `append` is the only way into a journal. A notification for a running invocation is delivered to
   its attempt, with its index; a start in the same turn sends it with the journal instead.
3. Journals and invocations are written at the end of the turn, each once, or before a read that
   needs them (`flush`). All other rows are written at once. Of an invocation that runs and whose journal
   has only grown, the store is told no more than that: `change` says when there is more to it.
4. Plans of short journals are made at the end, from the state that the commit will show.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from durably.engine.actions import Abort, Action, ArmTimer, Await, Deliver, Outcome, Reply, StartAttempt
from durably.engine.core.plans import INLINE_ENTRIES, plan_of
from durably.engine.records import EngineOptions, Failure, Handle, Invocation, JournalEntry, Status, Timer
from durably.engine.store.contract import Transaction

__all__ = ["Randomness", "Turn"]

_RUNNING = Status.RUNNING


class Randomness(Protocol):
    """Where ids, seeds and jitter come from; `random.Random` and `random.SystemRandom` fit."""

    def getrandbits(self, k: int, /) -> int:
        """Give a number of `k` random bits."""
        ...

    def random(self) -> float:
        """Give a number from 0 up to, without, 1."""
        ...


class Turn:
    """The work of one event; see the module.

    Attributes:
        tx: The transaction.
        now_ms: The time, for all that happens in this turn.
        random: Where ids and jitter come from.
        options: Defaults and limits.
        actions: What follows, in order; `finish` adds starts and deliveries.
        outputs: Results that were written in this turn, by invocation.
        unprepared: Invocations whose new attempt has no deployment and version yet.
    """

    __slots__ = (
        "_deliveries",
        "_dirty",
        "_entries",
        "_grown",
        "_known",
        "_new",
        "_starts",
        "actions",
        "now_ms",
        "options",
        "outputs",
        "random",
        "tx",
        "unprepared",
    )

    def __init__(self, tx: Transaction, now_ms: int, random: Randomness, options: EngineOptions) -> None:
        """Begin with nothing read and nothing changed."""
        self.tx: Transaction = tx
        self.now_ms: int = now_ms
        self.random: Randomness = random
        self.options: EngineOptions = options
        self.actions: list[Action] = []
        self.outputs: dict[str, bytes | Failure] = {}
        self.unprepared: list[Invocation] = []
        self._known: dict[str, Invocation | None] = {}
        self._dirty: dict[str, Invocation] = {}
        self._grown: dict[str, Invocation] = {}
        self._new: dict[str, Invocation] = {}
        self._entries: dict[str, list[JournalEntry]] = {}
        self._deliveries: dict[str, list[tuple[tuple[int, int, bytes], int]]] = {}
        self._starts: dict[str, Invocation] = {}

    # ---- invocations

    def invocation(self, invocation_id: str) -> Invocation | None:
        """Give the turn's object of an invocation, or None. Call `change` before changing it."""
        try:
            return self._known[invocation_id]
        except KeyError:
            found = self.tx.invocation(invocation_id)
            self._known[invocation_id] = found
            return found

    def live(self, invocation_id: str) -> Invocation | None:
        """Give an invocation unless retention is over for it, though it was not swept yet."""
        found = self.invocation(invocation_id)
        if found is None or (found.expires_at is not None and found.expires_at <= self.now_ms):
            return None
        return found

    def create(self, invocation: Invocation) -> None:
        """Take a new invocation in; its id is not in use."""
        self._known[invocation.id] = invocation
        self._new[invocation.id] = invocation

    def change(self, invocation: Invocation) -> None:
        """Have an invocation stored at the end of the turn."""
        self._dirty[invocation.id] = invocation

    def move(self, invocation: Invocation, status: Status) -> None:
        """Change the status."""
        invocation.status = status
        invocation.modified_at = self.now_ms
        self._dirty[invocation.id] = invocation

    def delete(self, invocation: Invocation) -> None:
        """Delete an invocation, its journal and its result."""
        self.flush()
        self._dirty.pop(invocation.id, None)
        self._grown.pop(invocation.id, None)
        self._known[invocation.id] = None
        self.tx.delete_invocation(invocation.id)

    # ---- journals

    def append(
        self,
        invocation: Invocation,
        type: int,
        payload: bytes,
        handle: Handle | None = None,
        failed: bool = False,
        *,
        deliver: bool = True,
    ) -> int:
        """Append to a journal, deliver notifications unless told otherwise, and give the index."""
        index = invocation.journal_length
        invocation_id = invocation.id
        entry = JournalEntry(index, type, payload, handle, failed, self.now_ms)
        entries = self._entries.get(invocation_id)
        if entries is None:
            self._entries[invocation_id] = [entry]
        else:
            entries.append(entry)
        invocation.journal_length = index + 1
        if invocation.status is not _RUNNING:
            self._dirty[invocation_id] = invocation
            return index
        self._grown[invocation_id] = invocation
        if deliver and handle is not None:
            self.deliver(invocation, (type, 0, payload), index)
        return index

    def notified(self, invocation: Invocation, handles: Collection[Handle], start: int = 0) -> dict[Handle, bool]:
        """Tell which handles have notifications, those of this turn included; see `Reader.notified`."""
        outcomes = self.tx.notified(invocation.id, handles, start)
        for entry in self._entries.get(invocation.id, ()):
            if entry.index >= start and entry.handle is not None and entry.handle in handles:
                outcomes.setdefault(entry.handle, entry.failed)
        return outcomes

    def brought(self, invocation: Invocation, handle: Handle) -> bool:
        """Tell whether the entry that this turn appended last to a journal is a notification of `handle`."""
        entries = self._entries.get(invocation.id)
        return entries is not None and entries[-1].handle == handle

    def deliver(self, invocation: Invocation, frame: tuple[int, int, bytes], index: int) -> None:
        """Send a message to the attempt of a running invocation; `index` is that of the entry it is about."""
        delivery = (frame, index)
        deliveries = self._deliveries.get(invocation.id)
        if deliveries is None:
            self._deliveries[invocation.id] = [delivery]
        else:
            deliveries.append(delivery)

    def flush(self) -> None:
        """Write new invocations and journals, so that reads of the transaction see them."""
        if self._new:
            for invocation in self._new.values():
                self._dirty.pop(invocation.id, None)
                self._grown.pop(invocation.id, None)
                self.tx.insert_invocation(invocation)
            self._new = {}
        if self._entries:
            for invocation_id, entries in self._entries.items():
                self.tx.append_entries(invocation_id, entries)
            self._entries = {}

    # ---- actions

    def activate(self, invocation: Invocation) -> None:
        """Begin the next attempt; it gets its deployment at the end of the turn, or fails there."""
        now_ms = self.now_ms
        if invocation.running_at is None:
            invocation.running_at = invocation.last_entry_at = now_ms
        if invocation.status is not _RUNNING:
            self.move(invocation, _RUNNING)
        self._dirty[invocation.id] = invocation
        invocation.attempt += 1
        invocation.attempt_started_at = now_ms
        invocation.attempt_server = None
        invocation.suspended_on = None
        invocation.awaiting_on = None
        invocation.next_retry_at = None
        self._starts[invocation.id] = invocation
        self.unprepared.append(invocation)

    def abort(self, invocation: Invocation) -> None:
        """Cut the current attempt, if there is one."""
        if invocation.status is _RUNNING and self._starts.pop(invocation.id, None) is None:
            self.actions.append(Abort(invocation.id, invocation.attempt))

    def arm(self, timer: Timer) -> None:
        """Store a timer and have it reported."""
        if self._new:
            self.flush()
        self.tx.put_timer(timer)
        self.actions.append(ArmTimer(timer.due_at))

    def reply(self, token: int | None, outcome: Outcome) -> None:
        """Answer a request, if somebody waits."""
        if token is not None:
            self.actions.append(Reply(token, outcome))

    def await_(self, token: int | None, invocation: Invocation) -> None:
        """Keep a request open until the invocation is settled."""
        if token is not None:
            self.actions.append(Await(token, invocation.id))

    def finish(self) -> list[Action]:
        """Write what is left and give the actions."""
        fresh = {invocation_id: entries for invocation_id, entries in self._entries.items() if entries[0].index == 0}
        self.flush()
        for invocation in self._dirty.values():
            self.tx.put_invocation(invocation)
        for invocation_id, invocation in self._grown.items():
            if invocation_id not in self._dirty:
                self.tx.grow_invocation(invocation)
        actions = self.actions
        for invocation in self._starts.values():
            if invocation.status is not _RUNNING:
                continue
            plan = None
            if invocation.journal_length <= INLINE_ENTRIES:
                journal = fresh.get(invocation.id)
                plan = plan_of(self.tx, invocation, self.options, self.now_ms, journal=journal, inline=True)
            actions.append(StartAttempt(invocation.id, invocation.attempt, plan))
        for invocation_id, deliveries in self._deliveries.items():
            known = self._known[invocation_id]
            if known is None or known.status is not _RUNNING or invocation_id in self._starts:
                continue
            frames = tuple([frame for frame, _ in deliveries])
            indexes = tuple([index for _, index in deliveries])
            actions.append(Deliver(invocation_id, known.attempt, frames, indexes))
        return actions
