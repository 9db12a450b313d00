"""The runtime of a Django project: one for each process.

Owns when it starts and stops, and what it serves: the views that were decorated, and the services of the `durable`
modules. It starts with the first request that needs it, or when `durably_django.asgi` or `durably_django.wsgi` make the
application, and never in a management command that did not ask for it. A forked worker starts its own.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from durably.endpoint import Endpoint
from durably.web.link import Link
from durably_django.settings import configured, configured_objects, max_connections

if TYPE_CHECKING:
    from durably.authoring.endpoint import AnyService
    from durably.engine.clock import Clock
    from durably.engine.engine import Engine
    from durably.engine.options import EngineOptions
    from durably.engine.transport.options import HttpOptions
    from durably.hosting.asgi import AsgiApp
    from durably.hosting.options import HostingOptions

__all__ = ["Runtime", "runtime"]

_logger = logging.getLogger("durably.django")


class Runtime:
    """What the parts of the adapter know about the project they belong to.

    Attributes:
        endpoint: Where services are bound.
        options: Of the embedded engine, before those of the settings; set it before the start.
        hosting: How handlers are run, before what the settings say; set it before the start.
        clock: Of the embedded engine, for tests.
    """

    def __init__(self) -> None:
        """Prepare; nothing is read or opened before it is needed."""
        self.endpoint: Endpoint = Endpoint()
        self.options: EngineOptions | None = None
        self.hosting: HostingOptions | None = None
        self.clock: Clock | None = None
        self._link: Link | None = None
        self._looked_at: Link | None = None
        self._pid = 0
        self._lock = threading.RLock()

    @property
    def link(self) -> Link:
        """The way to the runtime, which runs.

        Raises:
            DurablyError: It cannot be started: a setting, a service or the store.
        """
        link = self._link
        if link is not None and self._pid == os.getpid() and link.is_started:
            return link
        return self.start()

    def start(self, *, sends_outbox: bool = True) -> Link:
        """Start on a thread of its own; nothing happens if it runs in this process.

        Args:
            sends_outbox: Whether this process takes messages out of the outbox, on another thread.

        Raises:
            DurablyError: A setting, a service or the store cannot be used.
        """
        with self._lock:
            if self._link is not None and self._pid == os.getpid() and self._link.is_started:
                return self._link
            self.prepare()
            link = self._looked_at or self.unstarted_link()
            self._looked_at = None
            link.start_blocking()
            self._link, self._pid = link, os.getpid()
            atexit.register(link.stop_blocking)  # before the relay's: the last to be registered is the first to run
            if sends_outbox:
                self._start_relay()
        return link

    @property
    def running_link(self) -> Link | None:
        """The way to the runtime if it runs in this process; nothing is started."""
        link = self._link
        return link if link is not None and self._pid == os.getpid() and link.is_started else None

    @property
    def invoke_app(self) -> AsgiApp | None:
        """What a Restate Server calls; None while nothing runs, or with the embedded engine."""
        link = self._link
        return None if link is None else link.invoke_app

    @cached_property
    def prefix(self) -> str:
        """Of the routes; read once, because a server asks for each request."""
        return configured().prefix

    def _start_relay(self) -> None:
        from durably_django.outbox.relay import relay

        relay.start()
        atexit.register(relay.stop)

    def _stop_relay(self) -> None:
        from durably_django.outbox.relay import relay

        relay.stop()

    @asynccontextmanager
    async def on_this_loop(self, options: EngineOptions, http: HttpOptions) -> AsyncGenerator[Engine]:
        """Run the embedded engine on the running event loop, in a process that does nothing else.

        Args:
            options: Of the engine.
            http: How it reaches services in other processes.

        Raises:
            DurablyError: A setting, a service or the store cannot be used.
        """
        await asyncio.to_thread(self.prepare)
        hosting = self.hosting or configured_objects().hosting
        link = Link(configured(), self.endpoint, options=options, hosting=hosting, clock=self.clock, http=http)
        await link.start()
        self._link, self._pid = link, os.getpid()
        self._start_relay()
        try:
            assert link.engine is not None  # whoever calls this has looked at the settings
            yield link.engine
        finally:
            await asyncio.to_thread(self._stop_relay)
            self._link = None
            await link.stop()

    def unstarted_link(self) -> Link:
        """Make a link with the settings as they are now; nothing is opened."""
        given = configured_objects()
        options, hosting = self.options or given.options, self.hosting or given.hosting
        return Link(configured(), self.endpoint, options=options, hosting=hosting, clock=self.clock)

    def look(self) -> None:
        """Find everything, and make the link that will be started; for tools, which find services by it.

        Raises:
            DurablyError: A setting or a service cannot be used.
        """
        self.prepare()
        self._looked_at = self.unstarted_link()

    def prepare(self) -> None:
        """Find all views and services, and put their handlers under the database rules.

        Raises:
            RegistrationError: One cannot work.
            ConfigurationError: So a setting.
        """
        from durably_django.database import equip
        from durably_django.discovery import find_views
        from durably_django.failures import django_failures
        from durably_django.slots import slots

        given = configured_objects()
        self.endpoint.failures = django_failures() | given.failures
        if given.codec is not None:
            self.endpoint.set_journal_value_codec(given.codec)
        slots.resize(max_connections())
        find_views()
        for service in self.endpoint.services.values():
            for handler in service.handlers.values():
                equip(handler)

    def stop(self) -> None:
        """Stop, in bounded time; what was acknowledged goes on with the next start."""
        self._stop_relay()  # first: it would start the runtime again
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            atexit.unregister(link.stop_blocking)
            if link.is_started:
                link.stop_blocking()

    def start_for_request(self, **_: Any) -> None:
        """Start when the first request comes, whatever it asks for: timers have to go on after a restart.

        A failure is logged; the request goes on.
        """
        link = self._link
        if link is not None and self._pid == os.getpid():
            return
        try:
            self.start()
        except Exception:
            _logger.exception("The runtime of durable handlers could not be started.")

    def bind(self, *services: AnyService) -> None:
        """Serve services that were made elsewhere; one that is served already is left alone."""
        known = self.endpoint.services
        self.endpoint.bind(*(each for each in services if known.get(each.name) is not each))


runtime: Final = Runtime()
"""The project's."""
