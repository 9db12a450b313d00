"""One process's part in an engine: driving the store, or following the process that does.

Owns the change between the two, the opening and closing of the store, and what happens when the store fails.

| state | requests go to | leaves it when |
|---|---|---|
| FOLLOWING | the driver, over its socket | the lock is free: then it drives |
| DRIVING | the runtime in this process | the store fails, another engine took over, or stop |
| DOWN | nobody: they fail with the reason | the store works again, or stop |
| STOPPED | nobody | – |

A store in memory is always driven by the process that has it.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from durably.engine import faults
from durably.engine.actions import Failed, Outcome
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.clock import Clock
from durably.engine.core import Randomness
from durably.engine.deployments import Deployments
from durably.engine.events import Event
from durably.engine.faults import FaultPoint
from durably.engine.forwarding import DriverLink, LinkLostError, Listener, is_repeatable
from durably.engine.lease import DriverLock, begin_patiently, take_over
from durably.engine.locations import StoreLocation
from durably.engine.records import EngineOptions, ServiceRecord
from durably.engine.runtime import Runtime
from durably.engine.store.contract import Reader, Store, Transaction
from durably.errors import ConfigurationError, EngineStoppedError, StoreError, StoreFencedError

if TYPE_CHECKING:
    from durably.engine.store.sqlite import SqliteStore
    from durably.engine.transport.inprocess import AsgiApplication
    from durably.engine.transport.options import HttpOptions

__all__ = ["Node"]

T = TypeVar("T")

_POLL_S: Final = 0.25  # how often a follower looks whether the driver is gone
_RECONNECT_S: Final = 0.05
_PATIENCE_S: Final = 10.0  # how long a request waits for a driver
_REOPEN_PAUSES_S: Final = (1.0, 2.0, 4.0)

_logger = logging.getLogger("durably.engine")


class _State(enum.Enum):
    FOLLOWING = enum.auto()
    DRIVING = enum.auto()
    DOWN = enum.auto()
    STOPPED = enum.auto()


class Node:
    """Gives what `EngineApi` promises, whoever drives; for one event loop."""

    def __init__(
        self,
        location: StoreLocation,
        options: EngineOptions,
        clock: Clock,
        random: Randomness,
        *,
        application: tuple[str, AsgiApplication] | None = None,
        http: HttpOptions | None = None,
        stop_grace_s: float = 5.0,
        on_down: Callable[[StoreError], None] | None = None,
    ) -> None:
        """Prepare; nothing is opened before `start`.

        Args:
            location: Of the store.
            options: Defaults and limits.
            clock: For everything.
            random: For ids, seeds and jitter.
            application: Name and ASGI application whose services run in this process.
            http: How other services are reached.
            stop_grace_s: How long attempts may take to suspend or end when it stops.
            on_down: Told when the store failed and stays down.
        """
        self.options = options
        self._location = location
        self._clock = clock
        self._random = random
        self._application = application
        self._stop_grace_s = stop_grace_s
        self._on_down = on_down
        self._deployments = Deployments(http)
        self._application_uri = None if application is None else self._deployments.add_application(*application)
        self._state = _State.STOPPED
        self._store: Store | None = None
        self._file: SqliteStore | None = None
        self._lock: DriverLock | None = None
        self._runtime: Runtime | None = None
        self._listener: Listener | None = None
        self._link: DriverLink | None = None
        self._down: StoreError | None = None
        self._known_services: Mapping[str, ServiceRecord] = {}
        self._following: asyncio.Task[None] | None = None
        self._repairing: asyncio.Task[None] | None = None
        self._changed: asyncio.Event = asyncio.Event()

    # ---- life

    async def start(self) -> None:
        """Open the store, and drive or follow.

        Raises:
            StoreError: It cannot be used.
            ConfigurationError: The services of this process cannot be registered.
        """
        path = self._location.path
        try:
            if path is None:
                from durably.engine.store.memory import MemoryStore

                self._store = MemoryStore()
                await self._drive()
                return
            from durably.engine.store.sqlite import SqliteStore

            self._store = self._file = await asyncio.to_thread(SqliteStore, path)
            self._lock = DriverLock(self._file.path)
            if self._lock.try_acquire():
                await self._drive()
            else:
                self._state = _State.FOLLOWING
                await self._connect()
                self._following = asyncio.get_running_loop().create_task(self._follow())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in bounded time. Another process on the same file goes on."""
        self._state = _State.STOPPED
        for task in (self._following, self._repairing):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
                await asyncio.wait((task,))
        if self._runtime is not None:
            await self._runtime.stop(self._stop_grace_s)
        await self._leave()
        if self._link is not None:
            await self._link.close()
        await self._deployments.close()
        if self._store is not None:
            self._store.close()
        if self._lock is not None:
            self._lock.close()
        self._changed.set()

    # ---- what is asked of it

    @property
    def is_driving(self) -> bool:
        """Whether this process drives the store."""
        return self._state is _State.DRIVING

    @property
    def blocked_by(self) -> StoreError | None:
        """Why nothing can be stored, for now or for good; None while all is well."""
        if self._down is not None or self._runtime is None:
            return self._down
        return self._runtime.blocked_by

    @property
    def services(self) -> Mapping[str, ServiceRecord]:
        """See `EngineApi.services`."""
        return self._known_services if self._runtime is None else self._runtime.services

    def now_ms(self) -> int:
        """Tell the time."""
        return self._clock.now_ms()

    async def submit(self, event: Event) -> Outcome:
        """See `EngineApi.submit`."""
        if self._runtime is not None:
            return await self._runtime.submit(event)
        outcome = await self._forward(event)
        if isinstance(outcome, RegisteredDeployment):
            raise EngineStoppedError("The driver answered with what was not asked for.")
        return outcome

    async def register(self, registration: Registration) -> RegisteredDeployment | Failed:
        """See `EngineApi.register`."""
        if self._runtime is not None:
            return await self._runtime.register(registration)
        outcome = await self._forward(registration)
        if not isinstance(outcome, RegisteredDeployment | Failed):
            raise EngineStoppedError("The driver answered with what was not asked for.")
        return outcome

    async def read(self, work: Callable[[Reader], T]) -> T:
        """See `EngineApi.read`."""
        if self._runtime is not None:
            return await self._runtime.read(work)
        self._check()
        return await asyncio.to_thread(self._opened().read, work)

    # ---- driving

    async def _drive(self) -> None:
        if faults.hook is not None:
            faults.hook(FaultPoint.LOCK_HANDOVER)
        store = self._opened()
        runtime = Runtime(
            store,
            self._deployments,
            self.options,
            self._clock,
            self._random,
            in_memory=self._file is None,
            upkeep=self._file,
            on_failure=self._failed,
            on_registry_changed=self._registry_changed,
        )
        try:
            if self._file is not None:
                listener = self._listener = Listener(self._file.path)
                await _to_its_end(_become_driver, store, listener.path)
                await listener.start(runtime)
            await runtime.start()
            if self._application_uri is not None:
                await _register_own(runtime, self._application_uri)
        except BaseException:  # stopped meanwhile, for example
            await runtime.stop(0)
            await self._leave()
            raise
        self._runtime = runtime
        self._state = _State.DRIVING
        self._announce()
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _registry_changed(self) -> None:
        if self._listener is not None:
            self._listener.tell_registry_changed()

    async def _leave(self) -> None:
        """Stop driving, once the runtime has stopped."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        self._runtime = None

    def _announce(self) -> None:
        """Let requests that wait for a driver look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # ---- following

    async def _follow(self) -> None:
        try:
            await self._follow_until_free()
        except StoreError as error:
            self._failed(error)

    async def _follow_until_free(self) -> None:
        lock = self._lock
        while lock is not None and self._state is _State.FOLLOWING:
            if lock.try_acquire():
                _logger.info("The process that drove %s is gone; this one drives now.", self._location.path)
                try:
                    await self._drive()
                except StoreError:
                    raise
                except Exception:
                    _logger.exception("This process cannot drive %s; others have to.", self._location.path)
                    lock.close()
                    continue
                return
            if self._link is None or self._link.is_lost:
                await self._connect()
            await asyncio.sleep(_RECONNECT_S if self._link is None or self._link.is_lost else _POLL_S)

    async def _connect(self) -> None:
        try:
            lease = await asyncio.to_thread(self._opened().read, lambda reader: reader.lease())
            if not lease.address:
                return
            self._link = await DriverLink.open(lease.address, self._read_registry_aside)
        except (OSError, StoreError) as error:
            _logger.debug("The driver cannot be reached yet: %s", error)
            return
        await self._read_registry()
        self._announce()

    def _read_registry_aside(self) -> None:
        self._reading = asyncio.get_running_loop().create_task(self._read_registry())

    async def _read_registry(self) -> None:
        try:
            services = await asyncio.to_thread(self._opened().read, lambda reader: reader.services())
        except StoreError as error:
            _logger.warning("The services cannot be read: %s", error)
            return
        self._known_services = {service.name: service for service in services}

    async def _forward(self, request: Event | Registration) -> Outcome | RegisteredDeployment | Failed:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_S
        while True:
            self._check()
            if self._runtime is not None:
                if isinstance(request, Registration):
                    return await self._runtime.register(request)
                return await self._runtime.submit(request)
            link = self._link
            if link is not None and not link.is_lost:
                try:
                    return await link.ask(request)
                except LinkLostError:
                    if not is_repeatable(request):
                        raise
                    deadline = loop.time() + _PATIENCE_S
                    await asyncio.sleep(_RECONNECT_S)
                    continue
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError as error:
                raise EngineStoppedError("No process drives the store.") from error

    # ---- failures

    def _failed(self, error: StoreError) -> None:
        self._down = error
        if self._state is not _State.STOPPED and self._state is not _State.DOWN:  # else it is told by two at once
            self._state = _State.DOWN
            self._repairing = asyncio.get_running_loop().create_task(self._repair(error))

    async def _repair(self, error: StoreError) -> None:
        runtime = self._runtime
        if runtime is not None:
            await runtime.stop(0)
        await self._leave()
        if isinstance(error, StoreFencedError):
            await self._step_down()
            return
        for pause_s in _REOPEN_PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                if self._file is not None:
                    await _to_its_end(self._file.reopen)
                await self._drive()
            except Exception as second:
                self._down = second if isinstance(second, StoreError) else StoreError(str(second))
                _logger.error("The store still does not work: %s", second)
            else:
                self._down = None
                _logger.warning("The store works again.")
                return
        if self._on_down is not None:
            self._on_down(self._down or error)

    async def _step_down(self) -> None:
        """Follow the engine that took over."""
        if self._lock is None or self._file is None:
            return
        self._lock.close()
        self._file.fence(None)
        self._lock = DriverLock(self._file.path)
        self._down = None
        self._state = _State.FOLLOWING
        await self._connect()
        self._following = asyncio.get_running_loop().create_task(self._follow())

    def _check(self) -> None:
        if self._state is _State.STOPPED:
            raise EngineStoppedError("The engine has stopped.")
        if self._down is not None:
            raise self._down.with_traceback(None)

    def _opened(self) -> Store:
        if self._store is None:
            raise EngineStoppedError("The engine was not started.")
        return self._store


async def _to_its_end(work: Callable[..., None], *arguments: object) -> None:
    """Do work on a thread, and do not leave before it is over."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait((working,))
        raise


def _become_driver(store: Store, address: str) -> None:
    store.fence(None)
    transaction: Transaction = begin_patiently(store)
    try:
        epoch = take_over(transaction, owner=f"{os.uname().nodename}:{os.getpid()}", address=address)
    except BaseException:
        store.rollback()
        raise
    store.commit()
    store.fence(epoch)


async def _register_own(runtime: Runtime, uri: str) -> None:
    registered = await runtime.register(Registration(uri=uri, force=True))
    if isinstance(registered, Failed):
        raise ConfigurationError(
            f"The services of this process cannot be registered ({registered.doc_code}): {registered.message}"
        )
