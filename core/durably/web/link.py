"""An application's link to its runtime: the embedded engine, or a Restate Server.

Owns what is started and stopped with the application, and what it is reached with meanwhile. An application that runs
an event loop starts it there; one that does not (WSGI) has it on a thread of its own.

| | embedded | server |
|---|---|---|
| start | the engine starts, in this process | the application registers itself, in the background |
| calls | in process | over HTTP, with a client for each event loop |
| runs handlers | in process; no route leads there | through `invoke_app`, behind `{prefix}` |
| stop | the engine stops, in bounded time | open attempts end, in bounded time |

It can be started again after it was stopped. Services are bound before it starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from durably.errors import EngineStoppedError
from durably.hosting.options import DEFAULT_HOSTING, HostingOptions, Unsigned
from durably.web.performing import RuntimeFacts
from durably.web.tokens import ResultTokens

if TYPE_CHECKING:
    from durably.client.aio import Client
    from durably.client.blocking import BlockingClient
    from durably.endpoint import Endpoint
    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.client import EngineClient
    from durably.engine.clock import Clock
    from durably.engine.engine import Engine
    from durably.engine.records import EngineOptions
    from durably.engine.transport.options import HttpOptions
    from durably.hosting.asgi import AsgiApp
    from durably.hosting.wsgi import WsgiApp
    from durably.web.registering import Registrar
    from durably.web.settings import Settings

__all__ = ["Link", "links"]

_MEMORY_SECRET_BYTES: Final = 32

_logger = logging.getLogger("durably.web")


_links: WeakSet[Link] = WeakSet()


def links() -> list[Link]:
    """Give the links of this process's applications, whatever their framework: tools find services by them."""
    return list(_links)


class Link:
    """One application's link; see the module."""

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        *,
        options: EngineOptions | None = None,
        hosting: HostingOptions | None = None,
        clock: Clock | None = None,
        http: HttpOptions | None = None,
    ) -> None:
        """Prepare; nothing is opened before it starts.

        Args:
            settings: Which runtime, and how it is reached.
            endpoint: The services of this application.
            options: Of the embedded engine.
            hosting: How handlers are run; mode and who may call come from the settings.
            clock: Of the embedded engine, for tests.
            http: How the embedded engine reaches services in other processes.
        """
        self.settings = settings
        self.endpoint = endpoint
        self._options = options
        self._clock = clock
        self._http = http
        self._hosting = replace(
            hosting or DEFAULT_HOSTING,
            mode=settings.mode,
            unsigned=Unsigned.ACCEPT if settings.is_embedded or settings.allow_unsigned else Unsigned.LOOPBACK_ONLY,
        )
        if not settings.is_embedded:
            endpoint.identity_keys = settings.identity_keys
        self.engine: Engine | None = None
        self._is_started = False
        self._pid = 0
        self._facts: RuntimeFacts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changing = asyncio.Lock()
        self._changing_thread = threading.Lock()
        self._registrar: Registrar | None = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = WeakKeyDictionary()
        self._sync_client: BlockingClient | None = None
        self._sync_client_lock = threading.Lock()
        _links.add(self)

    # ---- routes of the runtime

    @cached_property
    def invoke_app(self) -> AsgiApp | None:
        """What the runtime calls, below `{prefix}`; None where the runtime is in this process."""
        return None if self.settings.is_embedded else self.endpoint.app(self._hosting)

    @cached_property
    def wsgi_invoke_app(self) -> WsgiApp | None:
        """`invoke_app` for WSGI."""
        return None if self.settings.is_embedded else self.endpoint.wsgi_app(self._hosting)

    # ---- life

    @property
    def is_started(self) -> bool:
        """Whether it runs, in this process."""
        return self._is_started and self._pid == os.getpid()

    async def start(self) -> None:
        """Start on the running event loop; nothing happens if it runs.

        Raises:
            StoreError: The file of the embedded engine cannot be used.
            ConfigurationError: A service, the secret or a setting cannot work.
            MissingExtraError: Something that the runtime needs is not installed.
        """
        async with self._changing:
            if self.is_started:
                return
            if self.settings.is_embedded:
                engine = self._new_engine()
                await engine.__aenter__()
                try:
                    self._facts = await asyncio.to_thread(self._new_facts)
                except BaseException:
                    await engine.__aexit__(None, None, None)
                    raise
                self.engine = engine
            else:
                self._start_remote()
                if self._registrar is not None:
                    self._registrar.start()
            self._started(asyncio.get_running_loop())

    async def stop(self) -> None:
        """Stop, in bounded time; nothing happens if it does not run. On the event loop that started it."""
        async with self._changing:
            if not self.is_started:
                return
            self._is_started = False
            if self._registrar is not None:
                await self._registrar.stop()
            app = self.__dict__.get("invoke_app")
            if app is not None:
                await app.drain_attempts()
            engine, self.engine = self.engine, None
            if engine is not None:
                await engine.__aexit__(None, None, None)
            client = self._clients.pop(asyncio.get_running_loop(), None)
            if client is not None:
                await client.client.aclose()
            self._stopped()
        self._changing = asyncio.Lock()  # the next start may be on another loop

    def start_blocking(self) -> None:
        """Start on a thread of its own; nothing happens if it runs. See `start`."""
        with self._changing_thread:
            if self.is_started:
                return
            if self.settings.is_embedded:
                engine = self._new_engine()
                engine.__enter__()
                try:
                    self._facts = self._new_facts()
                except BaseException:
                    engine.__exit__(None, None, None)
                    raise
                self.engine = engine
            else:
                self._start_remote()
                if self._registrar is not None:
                    self._registrar.start_thread()
            self._started(None)

    def stop_blocking(self) -> None:
        """Stop what `start_blocking` started, in bounded time; nothing happens if it does not run."""
        with self._changing_thread:
            if not self.is_started:
                return
            self._is_started = False
            if self._registrar is not None:
                self._registrar.stop_thread()
            engine, self.engine = self.engine, None
            if engine is not None:
                engine.__exit__(None, None, None)
            self._stopped()

    def _new_engine(self) -> Engine:
        from durably.engine.engine import Engine

        application: Any = self.endpoint.app(self._hosting) if self.endpoint.services else None
        return Engine(
            self.settings.url,
            application=application,
            options=self._engine_options(),
            clock=self._clock,
            http=self._http,
            journal_value_codec=self.endpoint.journal_value_codec,
        )

    def _engine_options(self) -> EngineOptions | None:
        """Give the options that were given. In memory there is nothing to wait for: retries are few and end."""
        from durably.engine.locations import read_url
        from durably.engine.records import EngineOptions, OnMaxAttempts, RetryPolicy

        if self._options is not None or read_url(self.settings.url).path is not None:
            return self._options
        retries = RetryPolicy(
            initial_interval_ms=10, max_interval_ms=1_000, max_attempts=8, on_max_attempts=OnMaxAttempts.KILL
        )
        return EngineOptions(retry_policy=retries)

    def _start_remote(self) -> None:
        from durably.client.transport import client_settings

        client_settings(self.settings.url, None)  # httpx is there, or an error that names the extra
        self._facts = self._new_facts()
        if self.settings.admin_url is not None:
            from durably.web.registering import Registrar

            self._registrar = Registrar(self.settings, self.endpoint)

    def _new_facts(self) -> RuntimeFacts:
        limit = self.endpoint.machine_options.max_message_bytes
        return RuntimeFacts(self.settings.prefix, ResultTokens(self._secret()), limit)

    def _secret(self) -> bytes | None:
        if self.settings.secret_key is not None:
            return self.settings.secret_key.encode()
        if not self.settings.is_embedded:
            return None
        from durably.engine.locations import read_url
        from durably.web.secret_file import read_or_make_secret, secret_path

        location = read_url(self.settings.url)
        return (
            os.urandom(_MEMORY_SECRET_BYTES)
            if location.path is None
            else read_or_make_secret(secret_path(location.path))
        )

    def _started(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._pid = os.getpid()
        self._is_started = True
        self.endpoint.seal("The application has started, and the runtime knows its services.")

    def _stopped(self) -> None:
        with self._sync_client_lock:
            client, self._sync_client = self._sync_client, None
        if client is not None:
            client.client.close()
        self._registrar = None
        self._loop = None
        self._facts = None
        self.endpoint.unseal()

    # ---- use

    @property
    def facts(self) -> RuntimeFacts:
        """What the rules of calls need to know.

        Raises:
            EngineStoppedError: It does not run.
        """
        if self._facts is None or not self.is_started:
            raise self._not_running()
        return self._facts

    def client(self) -> EngineClient | Client:
        """Give the client for code that awaits, on the running event loop.

        Raises:
            EngineStoppedError: The link does not run.
        """
        if not self.is_started:
            raise self._not_running()
        if self.engine is not None:
            return self.engine.client()
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            from durably.client import Client
            from durably.client.transport import client_settings, httpx_module

            http = httpx_module().AsyncClient(**client_settings(self.settings.url, None))
            client = self._clients[loop] = Client(
                http, journal_codec=self.endpoint.journal_value_codec, admin_url=self.settings.admin_url
            )
        return client

    def sync_client(self) -> BlockingEngineClient | BlockingClient:
        """Give the client for code that blocks, on any thread but that of the event loop.

        Raises:
            EngineStoppedError: The link does not run.
        """
        if not self.is_started:
            raise self._not_running()
        if self.engine is not None:
            return self.engine.sync_client()
        with self._sync_client_lock:
            if self._sync_client is None:
                from durably.client.blocking import BlockingClient
                from durably.client.transport import client_settings, httpx_module

                http = httpx_module().Client(**client_settings(self.settings.url, None))
                self._sync_client = BlockingClient(
                    http, journal_codec=self.endpoint.journal_value_codec, admin_url=self.settings.admin_url
                )
            return self._sync_client

    def _not_running(self) -> EngineStoppedError:
        if self._is_started:
            return EngineStoppedError(
                "The link to the runtime was started before this process was forked.",
                hint="Start it in each worker; with gunicorn, leave out --preload.",
            )
        return EngineStoppedError(
            "The link to the runtime does not run.",
            hint="It runs between the start-up and the shutdown of the application.",
        )
