"""A harness on the embedded engine: in this process, in memory, without a socket until a URL is asked for.

Owns the life of the engine of one test and what the test reaches it with. How the harness disturbs attempts is
`durably.testing.tap`'s business, when time passes `durably.testing.skipping`'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.services import DefinedService
from durably.engine.clock import Clock, ManualClock, RealClock
from durably.engine.engine import Engine
from durably.errors import UsageError
from durably.machine import AwaitingOnPolicy
from durably.protocol.versions import ProtocolVersion
from durably.testing.effects import Effects
from durably.testing.findings import Finding, HandlerFaultError, of_failure, of_swallowed, told_failures
from durably.testing.listening import Listening
from durably.testing.options import HarnessOptions, engine_options
from durably.testing.rerunning import Run, current_run
from durably.testing.seeds import RandomSeed
from durably.testing.skipping import TimeSkipper
from durably.testing.snapshots import Snapshot, take_snapshot
from durably.testing.state import ObjectState
from durably.testing.tap import Tap
from durably.testing.watching import Stub, Watch
from durably.types import HarnessEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from durably.testing.applications import Tested
    from durably.testing.journals import RecordedJournal

__all__ = ["EmbeddedEnvironment", "EmbeddedHarness"]

_SEED: Final = 7  # of ids: the same in every run, so that runs can be compared
_GRACE: Final = timedelta(milliseconds=200)
_REST: Final = timedelta(minutes=1)  # on the clock of the test, after it; enough for retries
_REST_LIMIT_S: Final = 5.0
_REST_REAL_S: Final = 0.03  # the same by the real clock

_logger = logging.getLogger("durably.testing")


class EmbeddedEnvironment(HarnessEnvironment):
    """What a test has of its harness.

    Attributes:
        client: Calls handlers, in process.
        engine: The engine.
        effects: A record for stand-ins of the outside world.
        ingress_url: Base URL of the ingress; asking for it starts to listen on a loopback port.
        admin_api_url: Base URL of the admin API, likewise.
    """

    def __init__(self, harness: EmbeddedHarness) -> None:
        """Reach into `harness`, which has started."""
        self._harness = harness
        self.engine: Engine = harness.engine
        self.effects: Effects = harness.effects
        self.client: Any = harness.engine.client()

    def __getattr__(self, name: str) -> str:
        """Start to listen when a URL is asked for.

        Raises:
            AttributeError: It is no URL that is asked for.
            MissingExtraError: uvicorn or starlette is not installed.
        """
        match name:
            case "ingress_url":
                return self._harness.listening.ingress_url
            case "admin_api_url":
                return self._harness.listening.admin_url
            case _:
                raise AttributeError(name)

    def state_of(self, service: DefinedService | str, key: str) -> ObjectState:
        """Give the state of an object's or workflow's key, to read and to seed."""
        return self._harness.state_of(service, key)

    def stub_step(
        self,
        name: str,
        *,
        returns: Any = None,
        raises: BaseException | None = None,
        calls: Callable[..., Any] | None = None,
    ) -> None:
        """Let something stand in for the steps of this name, from their next execution on.

        Args:
            name: As the handler names it.
            returns: What they give.
            raises: What they raise instead: a `TerminalError` fails the step, anything else the attempt.
            calls: Called with the step's arguments for what they give.
        """
        self._harness.watch.stub(name, Stub(returns, raises, calls))

    async def advance(self, by: timedelta) -> None:
        """Let `by` pass on the clock, with every timer in it at its own time, and do what follows from them.

        Raises:
            UsageError: The harness does not skip time.
        """
        await self._harness.skipper.advance(by)

    async def settle(self) -> None:
        """Wait until every handler waits, for the engine and for nothing else, without letting time pass."""
        await self._harness.skipper.settle()

    async def journal_of(self, invocation_id: str) -> RecordedJournal:
        """Give the journal of an invocation, to keep it in a file.

        Raises:
            JournalError: It is not known, or has not begun.
        """
        return await self._harness.journal_of(invocation_id)


class EmbeddedHarness:
    """The engine of one test; an async context manager, for one event loop."""

    def __init__(self, tested: Tested, options: HarnessOptions, effects: Effects | None = None) -> None:
        """Prepare; nothing starts.

        Args:
            tested: What runs.
            options: How.
            effects: The record of the test, if it has one that is older than the harness.
        """
        self._run: Run | None = current_run.get()
        if self._run is not None:
            options = _within(options, self._run)
        self.options = options
        self.effects: Effects = effects or Effects()
        self._tested = tested
        self._clock: Clock = ManualClock(time.time_ns() // 1_000_000) if options.skip_time else RealClock()
        self.watch: Watch = Watch(self._clock, with_locations=self._run is not None)
        is_disturbing = self._run is not None or options.always_replay
        self._tap = Tap(
            tested.app,
            self.watch,
            fail_fast=options.disable_retries,
            shuffle=options.shuffle,
            crash=None if self._run is None else self._run.next_crash(),
            on_crash=options.on_crash,
            disturb=is_disturbing,
        )
        self._seed = RandomSeed() if is_disturbing else None
        self.engine: Engine = Engine(
            "memory://",
            application=self._tap,
            options=engine_options(options),
            clock=self._clock,
            random=Random(_SEED),  # noqa: S311 - the same ids in every run
            journal_value_codec=tested.given_codec,
            stop_grace=_GRACE,
        )
        self.skipper: TimeSkipper = TimeSkipper(self.engine, self._clock, self._tap)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> EmbeddedEnvironment:
        """Start, on the running event loop.

        Raises:
            ConfigurationError: The application cannot be registered.
            UsageError: Time is to be skipped, but the application's attempts do not say when they wait.
        """
        if self._seed is not None:
            self._stack.enter_context(self._seed)
        await self._stack.enter_async_context(self.engine)
        self.listening: Listening = Listening(self.engine)
        self._stack.push_async_callback(self.listening.close)
        try:
            await self._check_skipping()
        except UsageError:
            await self._stack.aclose()
            raise
        self.skipper.start()
        self._stack.push_async_callback(self.skipper.stop)
        return EmbeddedEnvironment(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop.

        Raises:
            HandlerFaultError: A handler did not follow its journal, or swallowed the signal that ended its attempt; not
                when the test fails anyway: then its error says so in a note.
        """
        try:
            if self._run is not None and error is None:
                await self._come_to_rest()
            snapshot = await take_snapshot(
                self.engine, self._tap, self.watch, self._tested.endpoint, with_journals=self._run is not None
            )
        finally:
            await self._stack.aclose()
        if self._run is not None:
            self._run.snapshots.append(snapshot)
            self._run.effects.append(self.effects.all)
            return
        findings = self._findings(snapshot)
        if error is None and findings:
            raise HandlerFaultError(findings)
        if error is not None:
            for finding in (*findings, *told_failures(snapshot.failures)):
                error.add_note(str(finding))
            if self.options.shuffle is not None:
                error.add_note(f"The order of completions was shuffled with shuffle={self.options.shuffle}.")

    async def _check_skipping(self) -> None:
        """Refuse to wait for ever for attempts to say that they wait.

        Only those of this package do, and from version 7 of the service protocol on. All others can be suspended at
        every wait instead.
        """
        if not self.options.skip_time or self.engine.options.inactivity_timeout_ms == 0:
            return
        highest = self.engine.options.max_protocol_version
        endpoint = self._tested.endpoint
        why: str | None = None
        for each in await self.engine.read(lambda reader: reader.deployments()):
            spoken = min(highest, each.max_protocol_version)
            if not (each.sdk_version or "").startswith("durably/"):
                why = f"it is made with {each.sdk_version or 'another SDK'}"
            elif spoken < ProtocolVersion.V7:
                why = f"it speaks the service protocol up to version {int(spoken)}, and they do from 7 on"
        if endpoint is not None and endpoint.machine_options.awaiting_on is AwaitingOnPolicy.NEVER:
            why = "its MachineOptions say awaiting_on=NEVER"
        if why is not None:
            raise UsageError(
                f"skip_time cannot work with this application: its handlers do not tell when they wait, because {why}.",
                hint="Add always_replay=True, which suspends them at every wait, or leave skip_time out.",
            )

    async def _come_to_rest(self) -> None:
        """Let what nobody waits for go on: what was sent, and what is retried after a crash."""
        try:
            async with asyncio.timeout(_REST_LIMIT_S):
                if self.options.skip_time:
                    await self.skipper.advance(_REST)
                else:
                    await asyncio.sleep(_REST_REAL_S)
                    await self.skipper.settle()
        except TimeoutError:
            _logger.warning("Handlers were still at work %.0f s after the test.", _REST_LIMIT_S)

    def _findings(self, snapshot: Snapshot) -> list[Finding]:
        how = "it was suspended at every wait" if self.options.always_replay else "it ran again"
        if self.options.shuffle is not None:
            how += f", with completions in another order (shuffle={self.options.shuffle})"
        found = [of_failure(failure, how) for failure in snapshot.failures if failure.is_mismatch]
        return [*found, *(of_swallowed(swallowed, how) for swallowed in snapshot.swallowed)]

    # ---- what environments ask

    def state_of(self, service: DefinedService | str, key: str) -> ObjectState:
        """Give the state of a key."""
        name = service if isinstance(service, str) else service.name
        return ObjectState(self.engine, self._tested.codec, name, key)

    async def journal_of(self, invocation_id: str) -> RecordedJournal:
        """Give the journal of an invocation.

        Raises:
            JournalError: It is not known, or has not begun.
        """
        from durably.testing.journals import JournalError, journal_of

        journal = await self.engine.read(lambda reader: journal_of(reader, invocation_id))
        if journal is None:
            raise JournalError(f"The invocation {invocation_id} is not known, or has not begun.")
        return journal


def _within(options: HarnessOptions, run: Run) -> HarnessOptions:
    """Add what a run asks for."""
    return replace(
        options,
        always_replay=options.always_replay or run.always_replay,
        shuffle=options.shuffle if run.shuffle is None else run.shuffle,
        on_crash=run.on_crash or options.on_crash,
    )
