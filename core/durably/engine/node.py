"""One process's part in driving a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from durably.engine.api import EngineApi, RegisteredDeployment, Registration
from durably.engine.deployments import Deployments
from durably.engine.records import EngineOptions, ServiceRecord
from durably.engine.runtime import Runtime
from durably.errors import ConfigurationError, StoreError

T = TypeVar("T")


class Node:
    def __init__(self, location, options, clock, random, *, application, http, stop_grace_s):
        self.options = options
        self._location = location
        self._clock = clock
        self._random = random
        self._application = application
        self._deployments = Deployments(http)
        self._stop_grace_s = stop_grace_s
        self.is_driving = False
        self.blocked_by = None

    async def start(self):
        path = self._location.path
        if path is None:
            from durably.engine.store.memory import MemoryStore

            self._store = MemoryStore()
            upkeep = None
        else:
            from durably.engine.store.sqlite import SqliteStore

            self._store = upkeep = SqliteStore(path)
        self._runtime = Runtime(
            self._store, self._deployments, self.options, self._clock, self._random,
            in_memory=path is None, upkeep=upkeep,
        )
        await self._runtime.start()
        self.is_driving = True
        if self._application is not None:
            uri = self._deployments.add_application(*self._application)
            registered = await self._runtime.register(Registration(uri=uri, force=True))
            assert isinstance(registered, RegisteredDeployment), registered

    async def stop(self):
        await self._runtime.stop(self._stop_grace_s)
        await self._deployments.close()
        self._store.close()

    async def submit(self, event):
        return await self._runtime.submit(event)
    async def register(self, registration):
        return await self._runtime.register(registration)
    async def read(self, work):
        return await self._runtime.read(work)
    @property
    def services(self): return self._runtime.services
    def now_ms(self): return self._clock.now_ms()
