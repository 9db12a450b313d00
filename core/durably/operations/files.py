"""An embedded engine's file, looked at from another process.

Owns the two ways to it. Reading needs nobody: it is done on the file. Changing is asked of the process that drives
the file, over the link that engines sharing a file have, so that an application needs no open port. This process never
drives: it starts no handler, and takes nothing over.

Source: `durably.engine.forwarding`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from durably.engine.actions import Failed, Outcome
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.forwarding import DriverLink
from durably.engine.options import EngineOptions
from durably.engine.records import Lease, ServiceRecord
from durably.engine.store.connections import open_reader
from durably.engine.store.migrations import MIGRATIONS
from durably.engine.store.sqlite_reads import SqliteReader
from durably.errors import EngineStoppedError, StoreSchemaError
from durably.operations.errors import NotReachableError, OperationError

if TYPE_CHECKING:
    from durably.engine.events import Event
    from durably.engine.store.contract import Reader

__all__ = ["FileApi", "open_file"]

T = TypeVar("T")


class FileApi:
    """A file as the engine's HTTP APIs see an engine; an `EngineApi`."""

    def __init__(self, path: str) -> None:
        """Look at the file at `path`; see `open_file`."""
        self.path = path
        self.options: EngineOptions = EngineOptions()
        self.services: Mapping[str, ServiceRecord] = {}
        self.lease: Lease | None = None
        self._link: DriverLink | None = None

    @property
    def is_driven(self) -> bool:
        """Whether a process runs that drives the file."""
        return self._link is not None and not self._link.is_lost

    async def open(self) -> None:
        """Read what is registered, and look for the driver.

        Raises:
            StoreError: It cannot be read, is not an engine's, or is of another release.
        """
        self.services = await self.read(lambda reader: {each.name: each for each in reader.services()})
        self.lease = await self.read(lambda reader: reader.lease())
        if self.lease.address:
            try:
                self._link = await DriverLink.open(self.lease.address, _ignore)
            except OSError:
                self._link = None  # the driver is gone, and left its address

    async def close(self) -> None:
        """Leave the driver."""
        if self._link is not None:
            await self._link.close()

    def now_ms(self) -> int:
        """Tell the time."""
        return time.time_ns() // 1_000_000

    async def submit(self, event: Event) -> Outcome:
        """Ask the driver; see `EngineApi.submit`."""
        outcome = await self._linked().ask(event)
        if isinstance(outcome, RegisteredDeployment):
            raise EngineStoppedError("The driver answered with what was not asked for.")
        return outcome

    async def register(self, registration: Registration) -> RegisteredDeployment | Failed:
        """Ask the driver; see `EngineApi.register`."""
        outcome = await self._linked().ask(registration)
        if not isinstance(outcome, RegisteredDeployment | Failed):
            raise EngineStoppedError("The driver answered with what was not asked for.")
        return outcome

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Read the file; see `EngineApi.read`."""
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Callable[[Reader], T]) -> T:
        connection = open_reader(self.path)
        try:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != MIGRATIONS[-1].version:
                raise StoreSchemaError(
                    f"{self.path} has schema {version}, and this release of durably reads {MIGRATIONS[-1].version}.",
                    found=version,
                    expected=MIGRATIONS[-1].version,
                    hint="Start the application once with this release, or use the release that wrote the file.",
                )
            connection.execute("BEGIN")
            return work(SqliteReader(connection, self.path))
        finally:
            connection.close()

    def _linked(self) -> DriverLink:
        if self._link is None:
            raise EngineStoppedError(f"No process drives {self.path}.", hint="Start its application.")
        return self._link


@asynccontextmanager
async def open_file(path: str) -> AsyncGenerator[FileApi]:
    """Give a file as long as the block lasts.

    Raises:
        NotReachableError: There is no such file.
        OperationError: It is a directory.
        StoreError: See `FileApi.open`.
    """
    api = FileApi(_existing(path))
    await api.open()
    try:
        yield api
    finally:
        await api.close()


def _existing(path: str) -> str:
    real = os.path.abspath(path)
    if os.path.isdir(real):
        raise OperationError(f"{path} is a directory.", hint="Name the engine's file, as durably.db.")
    if not os.path.isfile(real):
        raise NotReachableError(f"There is no file {real}.", hint="Start the application that writes it.")
    return real


def _ignore() -> None:
    """The registry changed: a command reads it once."""
