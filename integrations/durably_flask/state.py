"""One application's runtime: what `app.extensions["durably"]` holds.

Owns when the runtime starts and stops. Several applications of one extension have one each, with the same services
and settings of their own.

* It starts lazily, in the process that serves: at the first request, or with `Durably.start()`. So it starts after
  a pre-forking server has forked, and never in the process that only watches for reloads, nor in a shell.
* An application under test starts it only when something durable is asked of it.
* It stops with the process.
"""

from __future__ import annotations

import atexit
import copy
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from flask import Flask

from durably.authoring.failures import FailureMap
from durably.endpoint import Endpoint
from durably.engine.options import EngineOptions
from durably.errors import ConfigurationError, DurablyError, UsageError
from durably.web.link import Link
from durably.web.settings import Settings, read_settings
from durably_flask.contexts import attempt_context, step_context
from durably_flask.detaching import finish_detached
from durably_flask.failures import application_failures

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
    from durably.authoring.handlers import Handler
    from durably.engine.clock import Clock
    from durably.hosting.options import HostingOptions
    from durably.machine import MachineOptions

__all__ = ["EXTENSION", "AppState", "Runtime", "state_of"]

EXTENSION: Final = "durably"

_CONFIG: Final = "DURABLY_"
_LAST_ANSWERS_S: Final = 1.0
_RETRY_S: Final = 5.0  # a store that cannot be opened is not tried again for every request
_IDLE_MS: Final = 100  # a `def` handler that waits longer gives its thread back

_logger = logging.getLogger("durably.flask")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What `Durably(...)` was told about the runtime.

    Attributes:
        given: Settings.
        options: Of the embedded engine.
        hosting: How handlers are run.
        failures: Exception classes that are terminal in every handler.
        codec: Encrypts or compresses what is journaled.
        machine_options: How the journal is followed.
        clock: Of the embedded engine.
        identity: Gives who calls.
        restore: Puts that where views look for it, on an attempt.
        secret_headers: Headers that are not stored, besides those that never are.
    """

    given: Mapping[str, object]
    options: EngineOptions | None = None
    hosting: HostingOptions | None = None
    failures: FailureMap | Mapping[type[BaseException], Any] | None = None
    codec: JournalValueCodec | JournalValueCodecProvider | None = None
    machine_options: MachineOptions | None = None
    clock: Clock | None = None
    identity: Callable[[], Any] | None = None
    restore: Callable[[Any], object] | None = None
    secret_headers: tuple[str, ...] = ()


class AppState:
    """The runtime of one application.

    Attributes:
        app: The application.
        runtime: What the extension was told.
        settings: As they were read when the application was given.
    """

    def __init__(self, app: Flask, runtime: Runtime, registry: Endpoint, prefix: str | None) -> None:
        """Read the settings.

        Raises:
            ConfigurationError: A setting cannot work; the text names where it came from.
        """
        self.app: Flask = app
        self.runtime: Runtime = runtime
        self._registry = registry
        self._given = {**runtime.given, **({} if prefix is None else {"prefix": prefix})}
        self.settings: Settings = self._read_settings()
        self._link: Link | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._failed_s = float("-inf")
        self._is_stopped = False

    def _read_settings(self) -> Settings:
        values = cast("Mapping[str, Any]", self.app.config)
        config = {name[len(_CONFIG) :]: value for name, value in values.items() if name.startswith(_CONFIG)}
        return read_settings(self._given, config)

    # ---- the link

    @property
    def link(self) -> Link:
        """The way to the runtime; made when it is first asked for, with what is registered by then."""
        with self._lock_of_process():
            if self._link is None:
                self._link = self._make_link()
            return self._link

    @property
    def is_started(self) -> bool:
        """Whether the runtime runs, in this process."""
        return self._link is not None and self._link.is_started

    def start(self) -> None:
        """Start the runtime; nothing happens if it runs.

        Raises:
            DurablyError: The store or a setting cannot be used.
        """
        link = self.link
        if link.is_started:
            return
        link.start_blocking()
        self._is_stopped = False
        atexit.register(self._stop_at_exit, link, os.getpid())

    def try_start(self) -> None:
        """Start for a request. A failure is logged, and not tried again for some seconds."""
        if self.is_started or self._is_stopped or time.monotonic() - self._failed_s < _RETRY_S:
            return
        try:
            self.start()
        except DurablyError:
            self._failed_s = time.monotonic()
            _logger.exception("The runtime of durable handlers could not be started.")

    def stop(self) -> None:
        """Stop the runtime, in bounded time; requests do not start it again."""
        self._is_stopped = True
        link = self._link
        if link is not None and link.is_started:
            link.stop_blocking()
            atexit.unregister(self._stop_at_exit)
        self._link = None

    def _stop_at_exit(self, link: Link, pid: int) -> None:
        if pid == os.getpid():
            link.stop_blocking()
            finish_detached(_LAST_ANSWERS_S)

    def _lock_of_process(self) -> threading.Lock:
        if self._pid != os.getpid():  # forked after something had started it: nothing of that runs here
            self._pid = os.getpid()
            self._lock = threading.Lock()
            self._link = None
        return self._lock

    def _make_link(self) -> Link:
        settings = self._read_settings()
        if settings.prefix != self.settings.prefix:
            raise ConfigurationError(
                f"The prefix was {self.settings.prefix} when the application was given, and is {settings.prefix} now.",
                hint="Set DURABLY_PREFIX before `Durably(app)` or `init_app(app)`.",
            )
        self.settings = settings
        runtime = self.runtime
        return Link(
            settings,
            self._make_endpoint(),
            options=runtime.options or EngineOptions(inactivity_timeout_ms=_IDLE_MS),
            hosting=runtime.hosting,
            clock=runtime.clock,
        )

    def _make_endpoint(self) -> Endpoint:
        """Give the services as this application runs them: each attempt and each step in its context."""
        runtime = self.runtime
        endpoint = Endpoint()
        if runtime.codec is not None:
            endpoint.set_journal_value_codec(runtime.codec)
        if runtime.machine_options is not None:
            endpoint.machine_options = runtime.machine_options
        endpoint.failures = application_failures(self.app) | FailureMap.of(runtime.failures)
        for service in self._registry.services.values():
            own = copy.copy(service)
            own.handlers = {name: self._in_app(handler) for name, handler in service.handlers.items()}
            endpoint.bind(own)
        return endpoint

    def _in_app(self, handler: Handler) -> Handler:
        enter: Callable[[], AbstractContextManager[None]] = partial(attempt_context, self)
        return replace(
            handler,
            context_managers=(enter, *handler.context_managers),
            step_managers=(step_context(self.app), *handler.step_managers),
        )


def state_of(app: Flask) -> AppState:
    """Give the state of an application.

    Raises:
        UsageError: It was not given to `Durably`.
    """
    state = app.extensions.get(EXTENSION)
    if not isinstance(state, AppState):
        raise UsageError(
            f"The application {app.name!r} has no Durably.", hint="Write Durably(app), or durably.init_app(app)."
        )
    return state
