"""The engine that drives a store: events in, actions out, and everything between them that waits.

Owns the wiring: requests, attempts and timers produce events; `Batches` applies and stores them; what the state
machine answers is done here, after the commit. One runtime belongs to one event loop.

| action | done by |
|---|---|
| `Reply`, `Await`, `Settled` | `Replies` |
| `StartAttempt`, `Deliver`, `HalfClose`, `Abort` | `Crew` |
| `ArmTimer`, `ArmSweep` | `Timers` |
| `ContinueRecovery` | the next `Recover` |
| `RegistryChanged` | the snapshot of services is read anew |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

from durably.engine.actions import (
    Abort,
    Action,
    ArmSweep,
    ArmTimer,
    Await,
    ContinueRecovery,
    Deliver,
    Failed,
    FailureSource,
    HalfClose,
    Outcome,
    Registered,
    RegistryChanged,
    Reply,
    Settled,
    StartAttempt,
)
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.attempts import Attempt
from durably.engine.batches import Batches
from durably.engine.clock import Clock
from durably.engine.core import Randomness, apply, plan_attempt
from durably.engine.crew import Crew
from durably.engine.deployments import Deployments
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted, Event, Recover, Sweep
from durably.engine.records import AttemptFailure, AttemptPlan, Deployment, EngineOptions, ServiceRecord
from durably.engine.replies import Replies
from durably.engine.store.contract import Reader, Store, Transaction
from durably.engine.timers import Timers
from durably.engine.transport.contract import DiscoveryError, Transport
from durably.engine.writer import Upkeep
from durably.errors import DurablyError, EngineStoppedError, StoreError

__all__ = ["Runtime"]

T = TypeVar("T")

_READERS: Final = 2  # threads that read: plans of long journals, introspection

_logger = logging.getLogger("durably.engine")


class Runtime:
    """Drives a store; gives what `EngineApi` promises."""

    def __init__(
        self,
        store: Store,
        deployments: Deployments,
        options: EngineOptions,
        clock: Clock,
        random: Randomness,
        *,
        in_memory: bool = False,
        upkeep: Upkeep | None = None,
        on_failure: Callable[[StoreError], None] | None = None,
        on_registry_changed: Callable[[], None] | None = None,
    ) -> None:
        """Drive `store`, which nobody else drives.

        Args:
            store: Closed by whoever opened it.
            deployments: The ways to services; closed by whoever made it.
            options: Defaults and limits.
            clock: For everything.
            random: For ids, seeds and jitter.
            in_memory: Whether reads and commits wait for nothing.
            upkeep: What the store needs from time to time.
            on_failure: Told when nothing can be stored any more; everybody who waited was told.
            on_registry_changed: Told when deployments or services changed.
        """
        self.options = options
        self._store = store
        self._deployments = deployments
        self._clock = clock
        self._random = random
        self._in_memory = in_memory
        self._on_failure = on_failure
        self._on_registry_changed = on_registry_changed
        self._services: Mapping[str, ServiceRecord] = {}
        self._replies = Replies()
        self._crew = Crew(clock, options.limits.attempts_in_flight)
        self._crew.attach(self)
        self._batches = Batches(
            store,
            self._apply,
            perform=self._perform,
            refuse=self._refuse,
            fail=self._fail,
            upkeep=upkeep,
            waits_for_disk=not in_memory,
            is_alone=self._is_alone,
        )
        self._timers = Timers(clock, self._batches.post)
        self._readers: ThreadPoolExecutor | None = None
        self._stopped: EngineStoppedError | StoreError | None = None
        self._do: dict[type[Any], Callable[[Any], None]] = {
            Reply: lambda action: self._replies.answer(action.token, action.outcome),
            Await: lambda action: self._replies.hold(action.token, action.invocation_id),
            Settled: lambda action: self._replies.settle(action.invocation_id, action.outcome),
            StartAttempt: self._crew.start,
            Deliver: self._crew.deliver,
            HalfClose: self._crew.half_close,
            Abort: self._crew.abort,
            ArmTimer: lambda action: self._timers.arm(action.due_ms),
            ArmSweep: lambda action: self._timers.arm_sweep(action.due_ms),
            ContinueRecovery: lambda action: self._batches.post(Recover(action.after)),
            RegistryChanged: lambda action: self._read_registry(),
        }

    # ---- life

    async def start(self) -> None:
        """Begin to drive: what was running when the store was left runs again.

        Raises:
            StoreError: It cannot be read.
        """
        if not self._in_memory:
            self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="durably-reader")
        self._batches.start()
        self._read_registry()
        self._batches.post(Recover())
        self._batches.post(Sweep())

    async def stop(self, grace_s: float) -> None:
        """Stop in bounded time; what was acknowledged is stored, and goes on with the next start.

        Args:
            grace_s: How long attempts may take to suspend or to end.
        """
        if self._stopped is None:
            self._stopped = _stopped()
        self._timers.stop()
        await self._crew.stop(grace_s)
        await self._batches.close()
        self._replies.fail_all(_stopped())
        if self._readers is not None:
            self._readers.shutdown(wait=False, cancel_futures=True)

    # ---- what the ingress, the admin API and the clients use

    @property
    def services(self) -> Mapping[str, ServiceRecord]:
        """See `EngineApi.services`."""
        return self._services

    @property
    def open_attempts(self) -> int:
        """How many attempts are open."""
        return self._crew.open_count

    @property
    def open_requests(self) -> int:
        """How many requests wait for their answer, most of them for the end of an invocation."""
        return len(self._replies)

    @property
    def is_quiet(self) -> bool:
        """Whether all that is to happen waits for a service, for a request or for the time."""
        return self._batches.is_idle and not self._crew.waiting_count

    @property
    def blocked_by(self) -> StoreError | None:
        """Why nothing can be stored for the time being, or None."""
        return self._batches.blocked_by

    def now_ms(self) -> int:
        """Tell the time."""
        return self._clock.now_ms()

    async def submit(self, event: Event) -> Outcome:
        """See `EngineApi.submit`."""
        if self._stopped is not None:
            raise self._stopped.with_traceback(None)
        token, future = self._replies.expect()
        asked: Any = event  # every event of a request has a `reply`
        self._batches.post(replace(asked, reply=token))
        try:
            return await future
        except asyncio.CancelledError:
            self._replies.forget(token)
            raise

    async def read(self, work: Callable[[Reader], T]) -> T:
        """See `EngineApi.read`."""
        if self._readers is None:
            return self._store.read(work)
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._readers, self._store.read, work)
        except RuntimeError as error:  # the executor is shut down
            raise _stopped() from error
        return await reading

    async def register(self, registration: Registration) -> RegisteredDeployment | Failed:
        """See `EngineApi.register`."""
        try:
            event = await self._deployments.discover(
                registration, ulid=_ulid(self._clock.now_ms(), self._random), now_ms=self._clock.now_ms()
            )
        except DiscoveryError as error:
            return Failed(500, str(error), source=FailureSource.ADMIN, doc_code=error.code)
        outcome = await self.submit(event)
        if not isinstance(outcome, Registered):
            if isinstance(outcome, Failed):
                return outcome
            raise StoreError(f"A registration was answered with {type(outcome).__name__}.")
        if registration.dry_run:
            return RegisteredDeployment(event.deployment, (), is_new=outcome.is_new)

        def stored(reader: Reader) -> RegisteredDeployment:
            deployment = reader.deployment(outcome.deployment_id) or event.deployment
            services = tuple(reader.services_of(outcome.deployment_id))
            return RegisteredDeployment(deployment, services, is_new=outcome.is_new)

        return await self.read(stored)

    # ---- what attempts need

    def post(self, event: Event) -> None:
        """Take an event of an attempt."""
        self._batches.post(event)

    def room(self) -> asyncio.Future[None] | None:
        """Give what an attempt waits for before it reports more."""
        return self._batches.room()

    def transport(self, deployment: Deployment) -> Transport:
        """Give the way to a deployment."""
        return self._deployments.transport(deployment)

    async def plan(self, invocation_id: str, attempt: int) -> AttemptPlan | None:
        """Read what to open an attempt with."""
        now_ms = self._clock.now_ms()
        return await self.read(lambda reader: plan_attempt(reader, invocation_id, attempt, self.options, now_ms))

    def hold(self, attempt: Attempt) -> None:
        """Have an attempt report what it holds back."""
        self._crew.hold(attempt)

    def watch(self, deadline_ms: int) -> None:
        """Have deadlines of attempts checked."""
        self._crew.watch(deadline_ms)

    @property
    def max_message_bytes(self) -> int:
        """Longest message accepted from a service."""
        return self.options.limits.message_bytes

    # ---- batches

    def _apply(self, transaction: Transaction, event: Event) -> Sequence[Action]:
        return apply(transaction, event, self._clock.now_ms(), self._random, self.options)

    def _is_alone(self, event: Event) -> bool:
        return type(event) is AttemptFrames and self._crew.open_count == 1

    def _perform(self, actions: Sequence[Action]) -> None:
        do = self._do
        for action in actions:
            try:
                do[type(action)](action)
            except Exception:
                _logger.exception("A %s could not be done.", type(action).__name__)

    def _refuse(self, event: Event, error: Exception) -> None:
        token: int | None = getattr(event, "reply", None)
        is_defect = not isinstance(error, DurablyError)
        if token is not None:
            if is_defect:
                text = "The engine could not handle this request; its log says why."
                self._replies.answer(token, Failed(500, text, source=FailureSource.INGRESS))
            else:
                self._replies.fail(token, error)
        elif is_defect and isinstance(event, AttemptFrames | AttemptStarted):
            self._crew.abort(Abort(event.invocation_id, event.attempt))
            failure = AttemptFailure(500, f"The engine could not store what the service sent: {type(error).__name__}.")
            self._batches.post(AttemptEnded(event.invocation_id, event.attempt, failure))

    def _fail(self, error: StoreError) -> None:
        _logger.critical("The engine stops, because nothing can be stored any more: %s", error)
        self._stopped = error
        self._replies.fail_all(error)
        if self._on_failure is not None:
            self._on_failure(error)

    def _read_registry(self) -> None:
        services = self._store.read(lambda reader: reader.services())
        self._services = {service.name: service for service in services}
        if self._on_registry_changed is not None:
            self._on_registry_changed()


def _ulid(now_ms: int, random: Randomness) -> int:
    return now_ms << 80 | random.getrandbits(80)


def _stopped() -> EngineStoppedError:
    return EngineStoppedError("The engine has stopped.", hint="What it had stored goes on when it starts again.")
