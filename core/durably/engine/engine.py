"""`Engine`: the embedded engine as an application uses it.

Owns the settings, the start and the stop, on the application's event loop or on a thread of its own. What drives the
file is `Runtime`'s business.

    async with durably.Engine("sqlite:///orders.db", services=[orders, payments]) as engine:
        receipt = await engine.client().call(place, order, key="order-1")

    with durably.Engine("sqlite:///orders.db", services=[orders, payments]) as engine:
        receipt = engine.sync_client().call(place, order, key="order-1")
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import random as random_module
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.clock import Clock, RealClock
from durably.engine.locations import StoreLocation, read_url
from durably.engine.records import EngineOptions
from durably.errors import ConfigurationError, EngineStoppedError, StoreError, StoreForkedError, UsageError

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
    from durably.authoring.endpoint import AnyService
    from durably.authoring.failures import FailureMap, FailureRule
    from durably.engine.actions import Failed, Outcome
    from durably.engine.admin.app import AdminApp
    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.client import EngineClient
    from durably.engine.core import Randomness
    from durably.engine.events import Event
    from durably.engine.ingress.app import IngressApp
    from durably.engine.node import Node
    from durably.engine.records import ServiceRecord
    from durably.engine.runtime import Runtime
    from durably.engine.store.contract import Reader
    from durably.engine.transport.inprocess import AsgiApplication
    from durably.engine.transport.options import HttpOptions
    from durably.hosting.options import HostingOptions
    from durably.machine import MachineOptions

__all__ = ["Engine"]

T = TypeVar("T")

_NAME: Final = "app"


class Engine:
    """Runs durable handlers in this process, and keeps what they do in one file.

    Used as an async context manager it lives on the running event loop; as a plain one, on a thread of its own. It
    can be started once. Several processes may use the same file: one drives it, the others go through that one.
    """

    def __init__(
        self,
        url: str = "sqlite:///durably.db",
        services: Iterable[AnyService] = (),
        *,
        application: AsgiApplication | None = None,
        options: EngineOptions | None = None,
        clock: Clock | None = None,
        random: Randomness | None = None,
        http: HttpOptions | None = None,
        journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
        failures: FailureMap | Mapping[type[BaseException], FailureRule] | None = None,
        machine_options: MachineOptions | None = None,
        hosting: HostingOptions | None = None,
        stop_grace: timedelta = timedelta(seconds=5),
    ) -> None:
        """Prepare; nothing is opened before it is entered.

        Args:
            url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `memory://`.
            services: What runs in this process.
            application: An ASGI application that serves them instead, for example one that has middleware.
            options: Default timeouts, retries, retention, and limits.
            clock: Another clock than the machine's, for tests.
            random: Another source of ids and jitter than the system's, for tests.
            http: How services in other processes are reached.
            journal_value_codec: Encrypts or compresses what is journaled; see `durably.app`.
            failures: Exception classes that are terminal in every handler; see `durably.app`.
            machine_options: How the journal is followed; see `durably.app`.
            hosting: How handlers are run; see `durably.app`.
            stop_grace: How long attempts may take to suspend or end when the engine stops.

        Raises:
            ConfigurationError: The url, or a combination of settings, cannot work.
            RegistrationError: A service is none, or two have the same name.
        """
        from durably.authoring.codec import CodecSource

        self._location: StoreLocation = read_url(url)
        self.url = url
        self.options: EngineOptions = options or EngineOptions()
        self._clock = clock or RealClock()
        self._random = random or random_module.SystemRandom()
        self._http = http
        self._codec = CodecSource(journal_value_codec)
        self._stop_grace_s = stop_grace.total_seconds()
        listed = list(services)
        if listed and application is not None:
            raise ConfigurationError(
                "An engine has services or an application, not both.", hint="Give the services to the application."
            )
        if listed:
            from durably.endpoint import app
            from durably.hosting.options import DEFAULT_HOSTING, Unsigned

            application = app(
                listed,
                journal_value_codec=journal_value_codec,
                failures=failures,
                machine_options=machine_options,
                hosting=replace(hosting or DEFAULT_HOSTING, unsigned=Unsigned.ACCEPT),  # nobody else reaches it
            )
        self._application = application
        self._node: Node | None = None
        self._down: asyncio.Future[StoreError] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None
        self._thread: threading.Thread | None = None
        self._leave: asyncio.Event | None = None
        self._pid: int | None = None
        self._outside: set[concurrent.futures.Future[Any]] = set()
        self._outside_lock = threading.Lock()
        self._is_over = False

    # ---- life

    async def __aenter__(self) -> Self:
        """Open the file and start, on the running event loop.

        Raises:
            StoreError: The file cannot be used.
            UsageError: The engine was started before.
        """
        from durably.engine.node import Node

        if self._node is not None:
            raise UsageError("This engine was started before.", hint="Make a new one; it continues where this stopped.")
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._down = self._loop.create_future()
        self._node = Node(
            self._location,
            self.options,
            self._clock,
            self._random,
            application=None if self._application is None else (_NAME, self._application),
            http=self._http,
            stop_grace_s=self._stop_grace_s,
            on_down=self._went_down,
        )
        await self._node.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, in bounded time; what was acknowledged is stored and goes on with the next start."""
        if self._node is not None:
            await self._node.stop()

    def __enter__(self) -> Self:
        """Start on a thread of its own; see `__aenter__`."""
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="durably-engine", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; see `__aexit__`."""
        loop, thread, leave = self._loop, self._thread, self._leave
        if loop is None or thread is None or leave is None or self._pid != os.getpid():
            return
        loop.call_soon_threadsafe(leave.set)
        thread.join()

    def _run(self, started: concurrent.futures.Future[None]) -> None:
        async def live() -> None:
            leave = self._leave = asyncio.Event()
            try:
                await self.__aenter__()
            except BaseException as error:
                started.set_exception(error)
                return
            started.set_result(None)
            try:
                await leave.wait()
            finally:
                await self.__aexit__(None, None, None)

        try:
            asyncio.run(live())
        finally:
            with self._outside_lock:
                self._is_over = True
            for future in list(self._outside):  # handed over too late to be looked at
                if not future.done():
                    future.set_exception(_stopped())

    # ---- using it

    def client(self, headers: Mapping[str, str] | None = None) -> EngineClient:
        """Give a client for code that awaits, on any event loop.

        Args:
            headers: Handed to every handler.
        """
        from durably.engine.client import EngineClient

        return EngineClient(self, self._codec, headers)

    def sync_client(self, headers: Mapping[str, str] | None = None) -> BlockingEngineClient:
        """Give a client for code that blocks, on any thread but that of the engine's event loop.

        Args:
            headers: Handed to every handler.
        """
        from durably.engine.blocking_client import BlockingEngineClient

        return BlockingEngineClient(self.client(headers), self.run_blocking)

    @property
    def ingress_app(self) -> IngressApp:
        """The HTTP API for callers, as an ASGI application that lets in this machine only.

        `IngressApp(engine, IngressOptions(…))` makes one for others. It can be mounted before the engine is started.
        """
        from durably.engine.ingress.app import IngressApp

        return IngressApp(self)

    @property
    def admin_app(self) -> AdminApp:
        """The HTTP API for operators, as an ASGI application that lets in this machine only; see `ingress_app`."""
        from durably.engine.admin.app import AdminApp

        return AdminApp(self)

    @property
    def is_driving(self) -> bool:
        """Whether this process drives the file; False while another one does."""
        return self._node is not None and self._node.is_driving and self._pid == os.getpid()

    @property
    def runtime(self) -> Runtime | None:
        """What drives the file, for test tools; None while another process does."""
        return None if self._node is None else self._node.runtime

    @property
    def blocked_by(self) -> Exception | None:
        """Why nothing can be stored at the moment, or ever; None while all is well."""
        return None if self._node is None else self._node.blocked_by

    async def down(self) -> StoreError:
        """Wait until the store has failed for good, and give why; for the engine's own event loop.

        Raises:
            EngineStoppedError: The engine was not started.
        """
        if self._down is None:
            raise _not_started()
        return await asyncio.shield(self._down)

    def _went_down(self, error: StoreError) -> None:
        if self._down is not None and not self._down.done():
            self._down.set_result(error)

    def now_ms(self) -> int:
        """Tell the time on the engine's clock, epoch in ms."""
        return self._clock.now_ms()

    @property
    def services(self) -> Mapping[str, ServiceRecord]:
        """The latest revision of every service; see `EngineApi.services`."""
        return {} if self._node is None else self._node.services

    async def submit(self, event: Event) -> Outcome:
        """Do what an event asks; see `EngineApi.submit`. Callable on any event loop."""
        node, loop = self._started()
        if asyncio.get_running_loop() is loop:
            return await node.submit(event)
        return await asyncio.wrap_future(self._handed_over(node.submit(event), loop))

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Do read-only work; see `EngineApi.read`. Callable on any event loop."""
        node, loop = self._started()
        if asyncio.get_running_loop() is loop:
            return await node.read(work)
        return await asyncio.wrap_future(self._handed_over(node.read(work), loop))

    async def register(self, registration: Registration) -> RegisteredDeployment | Failed:
        """Register a deployment that is reached over HTTP; see `EngineApi.register`. Callable on any event loop."""
        node, loop = self._started()
        if asyncio.get_running_loop() is loop:
            return await node.register(registration)
        return await asyncio.wrap_future(self._handed_over(node.register(registration), loop))

    def _started(self) -> tuple[Node, asyncio.AbstractEventLoop]:
        if self._node is None or self._loop is None:
            raise _not_started()
        if self._pid != os.getpid():
            raise StoreForkedError(
                "This engine was started before a fork, and lives in the process that was forked.",
                hint="Start it after the fork, for example in gunicorn's hook `post_fork`.",
            )
        return self._node, self._loop

    def run_blocking(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's event loop, and wait for what it gives.

        Raises:
            EngineStoppedError: The engine does not run.
            UsageError: This is the thread of the engine's event loop.
        """
        try:
            _, loop = self._started()
            # Not by the running loop: all greenlets of a thread have the same, and only one of them runs it.
            if threading.get_ident() == self._loop_thread:
                raise UsageError(
                    "A blocking call on the event loop of the engine would wait for itself.",
                    hint="Use client() and await it, or call from another thread.",
                )
        except BaseException:
            work.close()
            raise
        return self._handed_over(work, loop).result()

    def _handed_over(
        self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop
    ) -> concurrent.futures.Future[T]:
        """Run a coroutine on the engine's loop, from elsewhere; the future is done at the latest when the loop ends."""
        with self._outside_lock:
            if self._is_over:
                work.close()
                raise _stopped()
            # With no context variables: an attempt that begins meanwhile would take the caller's request for its own.
            future = contextvars.Context().run(asyncio.run_coroutine_threadsafe, work, loop)
            self._outside.add(future)
        future.add_done_callback(self._outside.discard)
        return future


def _not_started() -> EngineStoppedError:
    return EngineStoppedError("The engine was not started.", hint="Use it inside `async with` or `with`.")


def _stopped() -> EngineStoppedError:
    return EngineStoppedError("The engine has stopped.", hint="What it had stored goes on when it starts again.")
