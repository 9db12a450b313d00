"""What must hold after every run of the embedded engine, whatever died in the middle of it.

Owns the checks on an engine's file and on what a test observed from outside. Each gives `Finding`s, so that a test
sees all of them at once; `require` raises when there are any.

    image = store_images.StoreImage.read("engine.db")
    require(*check_image(image), *check_quiescent(image), *check_acknowledged(image, acknowledged_ids))

| oracle | says | checked by |
|---|---|---|
| O1 | what was acknowledged is there | `check_acknowledged` |
| O2 | a completed invocation has one result, and one Output if its handler returned | `check_image` |
| O3 | journals only grow | `check_growth` |
| O4 | the answers of a counter form one chain that agrees with the time | `check_chain` |
| O5 | exclusive handlers of a key do not overlap | `check_exclusion` |
| O6 | a recorded step counts once | `check_effects` |
| O7 | no lock, place, waiter or timer without an owner that lives | `check_image`, `check_quiescent` |
| O8 | one idempotency key, one invocation, one answer | `check_idempotency` |
| O9 | no timer is early | `check_image` |
| O10 | the file is sound | `check_file` |
| O11 | the process gave back what it took | `ProcessUse` |
| O12 | every invocation ends | `check_acknowledged`, `check_quiescent` |
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from durably.protocol.messages import CLASS_OF, MessageType, is_command, is_notification
from durably.testing.store_images import StoredInvocation, StoreImage

__all__ = [
    "CounterAnswer",
    "Finding",
    "Interval",
    "KeyedAnswer",
    "ProcessUse",
    "check_acknowledged",
    "check_chain",
    "check_effects",
    "check_exclusion",
    "check_file",
    "check_growth",
    "check_idempotency",
    "check_image",
    "check_quiescent",
    "require",
]

_UNCOUNTED_ENTRIES: Final = 64  # while an invocation runs, its row may know of fewer entries than its journal has
_WAL_BOUND_BYTES: Final = 256 * 1024 * 1024
_EXCLUSIVE: Final = ("exclusive", "workflow_run")
_ACTIVE: Final = ("running", "suspended", "backing-off", "paused")
_OWNED: Final = {"timers": ("number",), "promise_waiters": ("number",), "waiters": ("waiter", "awaited")}
_START_TIMER, _RETRY_TIMER = 1, 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be.

    Attributes:
        oracle: `O1` to `O12`.
        subject: What it is about: an invocation, a key, the file.
        text: What is wrong.
    """

    oracle: str
    subject: str
    text: str

    def __str__(self) -> str:
        """Give one line."""
        return f"{self.oracle} {self.subject}: {self.text}"


def require(*findings: Finding) -> None:
    """Accept no finding.

    Raises:
        AssertionError: There are some; the text lists them.
    """
    if findings:
        raise AssertionError("\n".join(str(finding) for finding in findings))


# ---- the store


def check_image(image: StoreImage) -> list[Finding]:
    """Check what holds in every committed state: O2, O7 and O9."""
    findings: list[Finding] = []
    for invocation in image.invocations.values():
        findings += _journal(invocation)
        findings += _output(invocation)
    findings += _ownership(image)
    return findings


def _journal(invocation: StoredInvocation) -> list[Finding]:
    """Indexes have no gap, nothing is notified twice or before it was asked for, no timer is early."""
    findings: list[Finding] = []

    def found(oracle: str, text: str) -> None:
        findings.append(Finding(oracle, str(invocation), text))

    entries, row = invocation.entries, invocation.row
    counted: int = row["journal_length"]
    if not counted <= len(entries) < counted + (_UNCOUNTED_ENTRIES if row["status"] == "running" else 1):
        found("O2", f"{len(entries)} entries are stored, {counted} are counted")
    if [entry.index for entry in entries] != list(range(len(entries))):
        found("O3", "the journal has gaps")
    if entries and entries[0].type != MessageType.INPUT:
        found("O3", f"the journal begins with type {entries[0].type:#06x}")
    commands = sum(is_command(entry.type) for entry in entries[:counted])
    if commands != row["command_count"]:
        found("O2", f"{commands} commands are stored, {row['command_count']} are counted")
    wake_up_times: dict[int, int] = {}
    asked: set[int] = set()
    notified: set[int | str] = set()
    for entry in entries:
        if is_command(entry.type):
            command: Any = CLASS_OF[entry.type].FromString(entry.payload)
            for name in ("result_completion_id", "invocation_id_notification_idx"):
                if handle := getattr(command, name, 0):
                    asked.add(handle)
            if entry.type == MessageType.SLEEP:
                wake_up_times[command.result_completion_id] = command.wake_up_time
        elif is_notification(entry.type) and entry.handle is not None:
            if isinstance(entry.handle, int) and entry.handle > 0 and entry.handle not in asked:
                found("O3", f"entry {entry.index} completes {entry.handle}, which no command before it has")
            if entry.handle in notified and isinstance(entry.handle, int) and entry.handle > 0:
                found("O6", f"entry {entry.index} completes {entry.handle} again")
            notified.add(entry.handle)
            if isinstance(entry.handle, int) and entry.appended_at < wake_up_times.get(entry.handle, 0):
                early = wake_up_times[entry.handle] - entry.appended_at
                found("O9", f"the timer {entry.handle} fired {early} ms early")
    begin = row["scheduled_start_at"]
    if begin is not None and 0 <= row["running_at"] < begin:
        found("O9", f"it started {begin - row['running_at']} ms early")
    return findings


def _output(invocation: StoredInvocation) -> list[Finding]:
    outputs = [entry for entry in invocation.entries if entry.type == MessageType.OUTPUT]
    text = str(invocation)
    if len(outputs) > 1:
        return [Finding("O2", text, f"it has {len(outputs)} Outputs")]
    if invocation.status != "completed":
        return [Finding("O2", text, "it has a result and is not completed")] if invocation.has_result else []
    if not invocation.has_result:
        return [Finding("O2", text, "it is completed without a result")]
    if invocation.value is not None and invocation.entries:
        if not outputs:
            return [Finding("O2", text, "it returned a value without an Output")]
        output: Any = CLASS_OF[MessageType.OUTPUT].FromString(outputs[0].payload)
        if output.value.content != invocation.value:
            return [Finding("O2", text, "its result is not what its Output says")]
    return []


def _ownership(image: StoreImage) -> list[Finding]:
    """Whatever is held has an owner that lives, and who lives holds what it needs (O7)."""
    findings: list[Finding] = []
    by_number = {invocation.row["number"]: invocation for invocation in image.invocations.values()}
    locks = {(row["service"], row["key"]): row["invocation_id"] for row in image.tables["locks"]}
    inbox = {row["invocation_id"] for row in image.tables["inbox"] if row["invocation_id"] is not None}
    timers = {(row["number"], row["kind"]) for row in image.tables["timers"]}

    def found(subject: object, text: str) -> None:
        findings.append(Finding("O7", str(subject), text))

    for address, owner in locks.items():
        holder = image.invocations.get(owner)
        if holder is None or holder.status not in _ACTIVE:
            found("/".join(address), f"its lock is held by {holder or owner}")
    for row in image.tables["inbox"]:
        waiting = row["invocation_id"]
        if waiting is not None and (
            waiting not in image.invocations or image.invocations[waiting].status not in ("pending", "scheduled")
        ):
            found(f"{row['service']}/{row['key']}", f"its inbox has {image.invocations.get(waiting, waiting)}")
        if (row["service"], row["key"]) not in locks:
            found(f"{row['service']}/{row['key']}", "its inbox waits though nobody holds its lock")
    for table, columns in _OWNED.items():
        for row in image.tables[table]:
            for column in columns:
                owner = by_number.get(row[column])
                if owner is None or owner.status == "completed":
                    found(table, f"a row belongs to {owner or row[column]}")
    for invocation in image.invocations.values():
        number, status = invocation.row["number"], invocation.status
        needs_lock = status in _ACTIVE and invocation.row["kind"] in ("exclusive",)
        if needs_lock and locks.get(invocation.address) != invocation.id:
            found(invocation, "it runs without the lock of its key")
        if status == "pending" and invocation.id not in inbox:
            found(invocation, "it waits in no inbox")
        if status == "backing-off" and (number, _RETRY_TIMER) not in timers:
            found(invocation, "no timer will try it again")
        if status == "scheduled" and (number, _START_TIMER) not in timers:
            found(invocation, "no timer will start it")
    return findings


def check_quiescent(image: StoreImage) -> list[Finding]:
    """Check that all work is done (O12) and nothing is held any more (O7)."""
    open_ones = [invocation for invocation in image.invocations.values() if invocation.status != "completed"]
    findings = [Finding("O12", str(invocation), "it has not ended") for invocation in open_ones]
    for table, rows in image.tables.items():
        if rows:
            findings.append(Finding("O7", table, f"{len(rows)} rows are left, such as {dict(rows[0])}"))
    return findings


def check_acknowledged(image: StoreImage, acknowledged: Iterable[str], *, ended: bool = True) -> list[Finding]:
    """Check that what was acknowledged is there (O1) and, unless told otherwise, has ended (O12).

    Args:
        image: Read after the run, before retention deletes anything.
        acknowledged: Ids of invocations that a client was told.
        ended: Whether all of them must be completed.
    """
    findings: list[Finding] = []
    for invocation_id in acknowledged:
        invocation = image.invocations.get(invocation_id)
        if invocation is None:
            findings.append(Finding("O1", invocation_id, "it was acknowledged and is lost"))
        elif ended and invocation.status != "completed":
            findings.append(Finding("O12", str(invocation), "it was acknowledged and has not ended"))
    return findings


def check_growth(before: StoreImage, after: StoreImage) -> list[Finding]:
    """Check that each journal of `before` is where the same one of `after` begins, byte for byte (O3)."""
    findings: list[Finding] = []
    for old in before.invocations.values():
        new = after.invocations.get(old.id)
        if new is None or not new.entries:
            continue  # retention
        if new.entries[: len(old.entries)] != old.entries:
            findings.append(Finding("O3", str(new), "what was in its journal has changed"))
        if old.status == "completed" and (new.value, new.failure, new.status) != (old.value, old.failure, old.status):
            findings.append(Finding("O2", str(new), "it completed and has changed since"))
    return findings


def check_file(path: str | Path) -> list[Finding]:
    """Check SQLite's own view of the file, its foreign keys and the length of its log (O10)."""
    file = Path(path).resolve()
    findings: list[Finding] = []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA query_only = 1")
            verdicts = [str(verdict) for (verdict,) in connection.execute("PRAGMA integrity_check")]
            verdicts += [f"foreign key of {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    except sqlite3.DatabaseError as error:
        verdicts = [str(error)]
    findings += [Finding("O10", str(file), verdict) for verdict in verdicts if verdict != "ok"]
    log = file.with_name(file.name + "-wal")
    if log.exists() and log.stat().st_size > _WAL_BOUND_BYTES:
        findings.append(Finding("O10", str(log), f"it has {log.stat().st_size} bytes"))
    return findings


# ---- what a test saw from outside


@dataclass(frozen=True, slots=True)
class CounterAnswer:
    """One answer of a counter that adds one and tells the old and the new value.

    Attributes:
        key: Whose counter.
        old: Value before.
        new: Value after.
        begun: When it was asked.
        ended: When it answered.
    """

    key: str
    old: int
    new: int
    begun: float
    ended: float


def check_chain(answers: Iterable[CounterAnswer]) -> list[Finding]:
    """Check that the answers for each key form one chain, in an order that agrees with the time (O4).

    An order exists exactly if no answer was complete before one with a smaller value was asked for.
    """
    findings: list[Finding] = []
    by_key: dict[str, list[CounterAnswer]] = {}
    for answer in answers:
        by_key.setdefault(answer.key, []).append(answer)
    for key, chain in by_key.items():
        chain.sort(key=lambda answer: answer.old)
        last_begin = float("-inf")
        for before, answer in zip([None, *chain[:-1]], chain, strict=True):
            if answer.new <= answer.old or (before is not None and answer.old < before.new):
                findings.append(Finding("O4", key, f"{answer.old}→{answer.new} follows {before}"))
            if answer.ended < last_begin:
                findings.append(Finding("O4", key, f"{answer.old}→{answer.new} came before a smaller one began"))
            last_begin = max(last_begin, answer.begun)
    return findings


@dataclass(frozen=True, slots=True)
class Interval:
    """When an attempt of an exclusive handler ran; `end` is infinite if its process died."""

    address: str
    invocation_id: str
    begin: float
    end: float


def check_exclusion(intervals: Iterable[Interval]) -> list[Finding]:
    """Check that attempts of different invocations of one key do not overlap (O5)."""
    findings: list[Finding] = []
    by_address: dict[str, list[Interval]] = {}
    for interval in intervals:
        by_address.setdefault(interval.address, []).append(interval)
    for address, ordered in by_address.items():
        ordered.sort(key=lambda interval: interval.begin)
        for first, second in itertools.pairwise(ordered):
            if second.begin < first.end and first.invocation_id != second.invocation_id:
                findings.append(Finding("O5", address, f"{first} and {second} overlap"))
    return findings


def check_effects(executed: Iterable[str], recorded: Iterable[str], *, crashes: int) -> list[Finding]:
    """Check that each recorded step happened, once, or once more for each crash (O6).

    Args:
        executed: A token for each execution of each step, as the steps logged them.
        recorded: The token of each step in the outcome.
        crashes: How many times a process died.
    """
    counts, results = Counter(executed), Counter(recorded)
    findings = [Finding("O6", token, f"it is in the outcome {n} times") for token, n in results.items() if n > 1]
    findings += [
        Finding("O6", token, f"executed {counts[token]} times with {crashes} crashes")
        for token in results
        if not 1 <= counts[token] <= 1 + crashes
    ]
    return findings


@dataclass(frozen=True, slots=True)
class KeyedAnswer:
    """What came back for a request with an idempotency key."""

    idempotency_key: str
    invocation_id: str
    body: bytes | None


def check_idempotency(answers: Iterable[KeyedAnswer]) -> list[Finding]:
    """Check that one key always gave one invocation and one body (O8); a body of None is not compared."""
    findings: list[Finding] = []
    first: dict[str, KeyedAnswer] = {}
    for answer in answers:
        known = first.setdefault(answer.idempotency_key, answer)
        if known.invocation_id != answer.invocation_id:
            findings.append(Finding("O8", answer.idempotency_key, f"{known.invocation_id}, {answer.invocation_id}"))
        if known.body is None:
            first[answer.idempotency_key] = answer
        elif answer.body is not None and known.body != answer.body:
            findings.append(Finding("O8", answer.idempotency_key, f"answered {known.body!r}, then {answer.body!r}"))
    return findings


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What this process holds of the system (O11).

    Attributes:
        descriptors: Open file descriptors.
        threads: Running threads.
    """

    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Self:
        """Count."""
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count())

    def check(self, later: ProcessUse) -> list[Finding]:
        """Check that `later` holds no more than this, plus a tenth."""
        return [
            Finding("O11", name, f"{before} before, {after} after")
            for name, before, after in (
                ("descriptors", self.descriptors, later.descriptors),
                ("threads", self.threads, later.threads),
            )
            if after > before * 1.1
        ]
