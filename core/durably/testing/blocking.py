"""A harness for tests that do not await: the engine runs on a thread of its own.

Owns that thread and the step from the test's to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from durably.authoring.services import DefinedService
from durably.client.transport import httpx_module
from durably.errors import UsageError
from durably.testing.effects import Effects
from durably.testing.embedded import EmbeddedEnvironment, EmbeddedHarness
from durably.testing.options import HarnessOptions
from durably.testing.state import BlockingObjectState

if TYPE_CHECKING:
    import httpx

    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.engine import Engine
    from durably.testing.applications import Tested
    from durably.testing.journals import RecordedJournal

__all__ = ["BlockingHarness"]

T = TypeVar("T")


class BlockingHarness:
    """The engine of one test. Use it with `with`, or `start` and `stop`; it can be started once.

    Attributes:
        effects: A record for stand-ins of the outside world.
    """

    def __init__(self, tested: Tested, options: HarnessOptions, effects: Effects | None = None) -> None:
        """Prepare; nothing starts. See `EmbeddedHarness`."""
        self._harness = EmbeddedHarness(tested, options, effects)
        self.effects: Effects = self._harness.effects
        self._environment: EmbeddedEnvironment | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start.

        Raises:
            ConfigurationError: The application cannot be registered.
        """
        loop = self._loop = asyncio.new_event_loop()
        variables = copy_context()  # a new thread has none, and handlers see those of the test
        self._thread = threading.Thread(
            target=variables.run, args=(loop.run_forever,), name="durably-test-engine", daemon=True
        )
        self._thread.start()
        try:
            self._environment = self._run(self._harness.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def stop(self) -> None:
        """Stop; nothing happens if it does not run.

        Raises:
            HandlerFaultError: See `EmbeddedHarness.__aexit__`.
        """
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        if self._environment is None:
            return
        self._environment = None
        try:
            self._run(self._harness.__aexit__(kind, error, traceback))
        finally:
            self._end()

    def _end(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None

    # ---- what a test uses

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self._harness.engine

    @property
    def client(self) -> BlockingEngineClient:
        """Calls handlers, in process, and blocks."""
        return self._harness.engine.sync_client()

    @property
    def ingress_url(self) -> str:
        """Base URL of the ingress; asking for it starts to listen on a loopback port."""
        return self._started().ingress_url

    @property
    def admin_api_url(self) -> str:
        """Base URL of the admin API; asking for it starts to listen on a loopback port."""
        return self._started().admin_api_url

    def ingress_client(self) -> httpx.Client:
        """Give an httpx client for the ingress; the caller closes it.

        Raises:
            MissingExtraError: httpx is not installed.
        """
        client: httpx.Client = httpx_module().Client(base_url=self.ingress_url, timeout=None, trust_env=False)
        return client

    def state_of(self, service: DefinedService | str, key: str) -> BlockingObjectState:
        """Give the state of an object's or workflow's key, to read and to seed."""
        return BlockingObjectState(self._harness.state_of(service, key), self._run)

    def stub_step(
        self,
        name: str,
        *,
        returns: Any = None,
        raises: BaseException | None = None,
        calls: Callable[..., Any] | None = None,
    ) -> None:
        """Let something stand in for the steps of this name; see `EmbeddedEnvironment.stub_step`."""
        self._started().stub_step(name, returns=returns, raises=raises, calls=calls)

    def advance(self, by: timedelta) -> None:
        """Let `by` pass on the clock; see `EmbeddedEnvironment.advance`."""
        self._run(self._started().advance(by))

    def settle(self) -> None:
        """Wait until every handler waits, without letting time pass."""
        self._run(self._started().settle())

    def journal_of(self, invocation_id: str) -> RecordedJournal:
        """Give the journal of an invocation, to keep it in a file."""
        return self._run(self._harness.journal_of(invocation_id))

    def _started(self) -> EmbeddedEnvironment:
        if self._environment is None:
            raise UsageError("The harness does not run.", hint="Use it inside `with`.")
        return self._environment

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise UsageError("The harness does not run.", hint="Use it inside `with`.")
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()
