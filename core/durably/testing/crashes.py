"""Crash everywhere: a scenario runs again for each journal entry, with a crash there, and must come to the same.

Owns the runs and their comparison. A scenario is a test, or a function that is given a harness.

| run | what it finds |
|---|---|
| undisturbed | what all others are compared with |
| always replay | handlers that do not do the same on every attempt; swallowed signals |
| crash after entry n, for each | what was done before the crash and is done again, or is not done any more |
| crash before entry n, for what handlers write | the same, when the last thing done was not stored |
| shuffled, for each seed | what goes wrong when completions come in another order |
| replay in another process | what depends on the order of sets, and on what a process remembers |

Compared are: the scenario's own result or error, the result of every invocation, all state, all recorded effects. An
invocation that fails where it did not fail before, a handler that does not follow its journal and one that swallows
its signal are findings by themselves.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from durably.testing.applications import tested
from durably.testing.effects import Effect, Effects
from durably.testing.elsewhere import replay_elsewhere
from durably.testing.embedded import EmbeddedEnvironment, EmbeddedHarness
from durably.testing.entries import CrashPoint, Moment
from durably.testing.findings import Finding, HandlerFaultError, of_failure, of_swallowed
from durably.testing.options import HarnessOptions
from durably.testing.rerunning import Run

if TYPE_CHECKING:
    from durably.testing.snapshots import Snapshot

__all__ = ["CrashOptions", "CrashReport", "CrashSession", "crash_everywhere"]

_ELSEWHERE: Final = "in another process, with another order of sets"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashOptions:
    """What is done to a scenario.

    Attributes:
        shuffles: Seeds of further runs in which completions change their order.
        before_each: Called before every run: set back here what the scenario changes outside of the harness.
        on_crash: Called after every crash: drop here what a process loses when it dies.
        processes: In how many other processes, each with its own order of sets, the journals are replayed.
        limit: How long one run may take, where the scenario awaits.
        most_crashes: The most runs with a crash; of a longer scenario as many entries are chosen, evenly.
    """

    shuffles: Sequence[int] = ()
    before_each: Callable[[], None] | None = None
    on_crash: Callable[[], None] | None = None
    processes: int = 1
    limit: timedelta = timedelta(seconds=30)
    most_crashes: int = 500


@dataclass(slots=True)
class CrashReport:
    """What came of it.

    Attributes:
        runs: How often the scenario was run.
        crashes: How many of them had a crash.
        findings: What was found; the same thing at the same line once.
        not_replayed: Handlers that another process could not import.
    """

    runs: int = 0
    crashes: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    not_replayed: list[str] = field(default_factory=list[str])

    def check(self) -> CrashReport:
        """Give the report itself.

        Raises:
            HandlerFaultError: Something was found.
        """
        if self.findings:
            summary = f"{len(self.findings)} findings in {self.runs} runs, {self.crashes} of them with a crash:"
            raise HandlerFaultError(self.findings, summary)
        return self

    def add(self, finding: Finding) -> None:
        """Keep a finding that is new."""
        if all((finding.what, finding.location) != (each.what, each.location) for each in self.findings):
            self.findings.append(finding)


class CrashSession:
    """All runs of one scenario.

    for run in session.runs():
        with run.active():
            run.value = scenario()
    session.report.check()
    """

    def __init__(self, options: CrashOptions | None = None) -> None:
        """Prepare; `options` None takes the defaults."""
        self.options: CrashOptions = options or CrashOptions()
        self.report: CrashReport = CrashReport()
        self._first = Run()

    def runs(self) -> Generator[Run]:
        """Give one run after the other; each is judged when the next is asked for.

        Raises:
            Exception: What the undisturbed run raised.
        """
        yield from self._one(self._first)
        if self._first.error is not None:
            raise self._first.error
        for run in self._disturbed():
            yield from self._one(run)
            self._judge(run)
        self._replay_elsewhere()

    def _one(self, run: Run) -> Generator[Run]:
        if self.options.before_each is not None:
            self.options.before_each()
        self.report.runs += 1
        self.report.crashes += run.crash is not None
        yield run

    def _disturbed(self) -> Generator[Run]:
        on_crash = self.options.on_crash
        yield Run(how="it was suspended at every wait", always_replay=True)
        points = [
            (number, CrashPoint(entry, moment))
            for number, snapshot in enumerate(self._first.snapshots)
            for entry in snapshot.entries
            for moment in ((Moment.BEFORE, Moment.AFTER) if entry.may_be_lost else (Moment.AFTER,))
        ]
        step = max(1, -(-len(points) // max(1, self.options.most_crashes)))
        for number, point in points[::step]:
            yield Run(how=f"after a crash: {point}", crash=point, harness=number, on_crash=on_crash)
        for seed in self.options.shuffles:
            yield Run(how=f"completions came in another order (shuffle={seed})", shuffle=seed)

    # ---- judging

    def _judge(self, run: Run) -> None:
        add = self.report.add
        first = self._first
        location = None if run.crash is None else run.crash.entry.location
        before = len(self.report.findings)
        for snapshot in run.snapshots:
            for swallowed in snapshot.swallowed:
                add(of_swallowed(swallowed, run.how))
            for failure in snapshot.failures:
                if failure.is_mismatch:
                    add(_located(of_failure(failure, run.how), location))
        self._judge_effects(run, location)
        if len(self.report.findings) > before:
            return  # what follows from these says nothing new
        for snapshot, undisturbed in zip(run.snapshots, first.snapshots, strict=False):
            self._judge_outcome(run, undisturbed, snapshot, location)
        if len(self.report.findings) == before and run.error is not None:
            add(Finding(f"the test failed: {type(run.error).__name__}: {run.error}", run.how, location))
        elif run.error is None and run.value != first.value:
            add(Finding(f"the scenario gave {run.value!r}, and {first.value!r} before", run.how, location))

    def _judge_outcome(self, run: Run, undisturbed: Snapshot, snapshot: Snapshot, location: str | None) -> None:
        expected = Counter((each.target, each.message) for each in undisturbed.failures)
        for failure in snapshot.failures:
            expected[failure.target, failure.message] -= 1
            if expected[failure.target, failure.message] < 0 and run.shuffle is None and not run.always_replay:
                self.report.add(Finding(f"{failure.target} failed: {failure.message}", run.how, location))
        if run.shuffle is None:
            for difference in undisturbed.differences(snapshot):
                self.report.add(Finding(difference, run.how, location))

    def _judge_effects(self, run: Run, location: str | None) -> None:
        before = _counted(self._first.effects)
        now = _counted(run.effects)
        effects = [effect for each in run.effects for effect in each]
        for identity in now.keys() | before.keys():
            count, usual = now[identity], before[identity]
            if count == usual:
                continue
            name, details = identity
            words = f"the effect {name!r} ({details}) happened {_times(count)}, and {_times(usual)} before"
            effect = next((each for each in effects if each.identity == identity), None)
            if effect is None:
                self.report.add(Finding(words, run.how, location))
                continue
            self.report.add(Finding(f"{words}: {_advice(effect)}", run.how, effect.location or location))

    def _replay_elsewhere(self) -> None:
        journals = [journal for snapshot in self._first.snapshots for journal in snapshot.journals]
        known = [handler for snapshot in self._first.snapshots for handler in snapshot.handlers]
        handlers = {f"{handler.service_name}/{handler.name}": handler for handler in known}
        for seed in range(1, self.options.processes + 1):
            replayed = replay_elsewhere(journals, handlers, hash_seed=seed)
            self.report.not_replayed = replayed.not_replayed
            for mismatch in replayed.mismatches:
                self.report.add(Finding(mismatch.message, _ELSEWHERE, mismatch.location))


def _located(finding: Finding, location: str | None) -> Finding:
    return finding if finding.location is not None else replace(finding, location=location)


def _counted(effects: list[list[Effect]]) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    for each in effects:
        record = Effects()
        record.extend(each)
        counted += record.counts()
    return counted


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _advice(effect: Effect) -> str:
    if not effect.is_in_handler:
        return "it is not recorded in a handler"
    if not effect.is_in_step:
        return "it stands outside of a step, so that every attempt repeats it. Put it into `ctx.run_typed(…)`"
    return (
        "its step ran again, because the result of the first execution was not stored yet. Give the outside world an"
        " idempotency key, and `record` the same as `key=`"
    )


async def crash_everywhere(
    scenario: Callable[[EmbeddedEnvironment], Awaitable[Any]],
    app_or_services: Any,
    *,
    options: CrashOptions | None = None,
    harness: HarnessOptions | None = None,
    effects: Effects | None = None,
) -> CrashReport:
    """Run a scenario again for each of its journal entries, with a crash there; call `check` on the report.

    Args:
        scenario: Given the environment of a new harness each time; calls handlers, and returns what is to be compared.
        app_or_services: What runs; see `create_test_harness`.
        options: What is done to it.
        harness: How handlers are run; None skips time.
        effects: What stand-ins record to, cleared before every run; None leaves it to the environment's.

    Raises:
        Exception: What the scenario raises when nothing disturbs it.
    """
    session = CrashSession(options)
    for run in session.runs():
        with run.active():
            if effects is not None:
                effects.clear()
            what = tested(app_or_services, None)
            async with EmbeddedHarness(what, harness or HarnessOptions(skip_time=True), effects) as environment:
                async with asyncio.timeout(session.options.limit.total_seconds()):
                    run.value = await scenario(environment)
    return session.report
