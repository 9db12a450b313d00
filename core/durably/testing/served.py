"""Run an application together with a real `restate-server`, for the time of a test.

Owns the joining of the three: the application under hypercorn in a thread, the server process, and a client. Needs
the extra `harness` and a `restate-server` binary; no container engine.

    with RestateTestHarness(app) as running, running.ingress_client() as client:
        assert client.post("/Greeter/greet", json="Ada").json() == "Hello Ada"
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from durably.client.transport import httpx_module
from durably.errors import DurablyError, MissingExtraError
from durably.testing.ports import free_port
from durably.testing.server import RestateServer

if TYPE_CHECKING:
    import httpx

__all__ = ["ALWAYS_REPLAY", "NO_RETRIES", "AppServer", "RestateTestHarness"]

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
ALWAYS_REPLAY: Final = {"RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s"}
"""Settings of a server that suspends at every wait."""
NO_RETRIES: Final = {
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "1",
    "RESTATE_DEFAULT_RETRY_POLICY__ON_MAX_ATTEMPTS": "kill",
}
"""Settings of a server that fails an invocation at its first failed attempt."""


class AppServer:
    """An ASGI application under hypercorn, over HTTP/2 and HTTP/1.1 on a loopback port, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        """Choose a port; starts nothing.

        Raises:
            MissingExtraError: hypercorn is not installed.
        """
        self._app = app
        self._port = free_port()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        try:
            self._hypercorn = importlib.import_module("hypercorn.asyncio")
            self._config: Any = importlib.import_module("hypercorn.config").Config()
        except ImportError as error:
            raise MissingExtraError("The test harness", "harness") from error
        self._config.bind = [f"127.0.0.1:{self._port}"]
        self._config.graceful_timeout = 1
        self._config.loglevel = "WARNING"
        # The runtime keeps one connection for all invocations, each of them a stream.
        self._config.h2_max_concurrent_streams = 2**31 - 1
        self._config.keep_alive_max_requests = 2**31 - 1

    @property
    def url(self) -> str:
        """Where the application listens."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the thread and wait until it listens.

        Raises:
            DurablyError: It does not.
        """
        self._thread = threading.Thread(target=self._run, name="durably-test-app", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise DurablyError(f"The application did not start to listen: {self._failure}.") from self._failure
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop listening and end the thread; nothing happens if there is none.

        Raises:
            DurablyError: The thread is still busy; it ends with the process.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:  # closed in between
                pass
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            raise DurablyError("The application's thread did not end.", hint="Does a handler block its event loop?")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # a thread has nobody to raise to; `start` reports it
            self._failure = error

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._hypercorn.serve(self._app, self._config, mode="asgi", shutdown_trigger=self._stopping.wait)

    def _listens(self) -> bool:
        try:
            httpx_module().get(f"{self.url}/health", timeout=1, trust_env=False)
        except httpx_module().TransportError:
            return False
        return True


class RestateTestHarness:
    """An application and a `restate-server` that knows it. Use it with `with`, or `start` and `stop`."""

    def __init__(self, app: Any, *, follow_logs: bool = False, settings: dict[str, str] | None = None) -> None:
        """Choose ports; starts nothing.

        Args:
            app: An ASGI application, as `durably.app` makes it.
            follow_logs: Copy the server's log to stderr.
            settings: Environment variables for the server.

        Raises:
            ServerNotFoundError: No `restate-server` binary was found.
            MissingExtraError: hypercorn or httpx is not installed.
        """
        httpx_module()
        self.app_server: AppServer = AppServer(app)
        self.server: RestateServer = RestateServer(settings=settings)
        self._follow_logs = follow_logs
        self._stopped = threading.Event()

    def start(self) -> Self:
        """Start both and register the application.

        Raises:
            DurablyError: One did not start, or the registration failed; nothing is left running.
        """
        self._stopped.clear()
        try:
            self.app_server.start()
            self.server.start()
            if self._follow_logs:
                threading.Thread(target=self._copy_log, name="durably-test-log", daemon=True).start()
            self.server.register(self.app_server.url)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server, then the application; nothing happens to what does not run."""
        self._stopped.set()
        try:
            self.server.stop()
        finally:
            self.app_server.stop()

    def ingress_client(self) -> httpx.Client:
        """Give an httpx client for the ingress; the caller closes it."""
        client: httpx.Client = httpx_module().Client(base_url=self.server.ingress_url, timeout=None, trust_env=False)
        return client

    def _copy_log(self) -> None:
        with (self.server.directory / "server.log").open(encoding="utf-8", errors="replace") as log:
            while not self._stopped.wait(0.1):
                sys.stderr.write(log.read())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
