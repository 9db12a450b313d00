"""Handing requests to the process that drives the file.

Owns the driver's listening socket and the follower's connection to it. The socket lies beside the store, or in a
directory of its own where that path is too long; only the user of the store can reach it. Its address stands in the
store's lease.

Rules
1. The driver answers in any order; a request that nobody waits for any more is forgotten, not undone.
2. When the connection is lost, requests that may safely be repeated wait for the next driver, and are asked again:
   those with an idempotency key, workflows' runs excepted, and those that change nothing. The others fail with
   `EngineStoppedError`: whether they were stored is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from durably.engine import wire
from durably.engine.actions import Outcome
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.events import Attach, Event, GetOutput, Invoke
from durably.engine.runtime import Runtime
from durably.errors import ClientError, DurablyError, EngineStoppedError, StoreError

__all__ = ["DriverLink", "LinkLostError", "Listener", "is_repeatable"]

_SUFFIX: Final = "-socket"
_PATH_LIMIT: Final = 100  # sun_path has 108 bytes on Linux, 104 elsewhere
_BACKLOG: Final = 128

_logger = logging.getLogger("durably.engine")


class LinkLostError(EngineStoppedError):
    """The driver is gone; whether it stored the request is unknown."""


def is_repeatable(event: Event | Registration) -> bool:
    """Whether asking twice is like asking once."""
    if isinstance(event, Invoke):
        return event.idempotency_key is not None
    return isinstance(event, Attach | GetOutput)


class Listener:
    """The driver's side."""

    def __init__(self, store_path: str) -> None:
        """Prepare to listen for the followers of a store."""
        self._directory: str | None = None
        self.path: str = store_path + _SUFFIX
        if len(os.fsencode(self.path)) > _PATH_LIMIT:
            self._directory = tempfile.mkdtemp(prefix="durably-")
            self.path = os.path.join(self._directory, "socket")
        self._inode = 0
        self._server: asyncio.Server | None = None
        self._runtime: Runtime | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, runtime: Runtime) -> None:
        """Answer for `runtime`.

        Raises:
            OSError: The socket cannot be made.
        """
        self._runtime = runtime
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # of a driver that died: we have its lock
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(self.path)
            os.chmod(self.path, 0o600)
            self._inode = os.lstat(self.path).st_ino
            listening.listen(_BACKLOG)
            listening.setblocking(False)
            self._server = await asyncio.start_unix_server(self._serve, sock=listening)
        except BaseException:
            listening.close()
            raise

    def tell_registry_changed(self) -> None:
        """Have the followers read deployments and services anew."""
        for writer in self._writers:
            writer.write(wire.encode(0, wire.REGISTRY_CHANGED))

    async def close(self) -> None:
        """Stop listening, and leave the followers."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in list(self._writers):
            writer.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        with contextlib.suppress(OSError):
            if os.lstat(self.path).st_ino == self._inode:  # not that of an engine which took over
                os.unlink(self.path)
            if self._directory is not None:
                os.rmdir(self._directory)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: dict[int, asyncio.Task[None]] = {}
        self._writers.add(writer)
        try:
            while (body := await wire.read_frame(reader)) is not None:
                number, kind, content = wire.decode(body)
                if kind == wire.FORGET:
                    if number in waiting:
                        waiting[number].cancel()
                    continue
                task = asyncio.get_running_loop().create_task(self._answer(number, content, writer))
                waiting[number] = task
                self._tasks.add(task)
                task.add_done_callback(partial(self._answered, waiting, number))
        except ClientError as error:
            _logger.warning("A process that shares the store is left: %s", error)
        finally:
            self._writers.discard(writer)
            for task in waiting.values():
                task.cancel()
            writer.close()

    def _answered(self, waiting: dict[int, asyncio.Task[None]], number: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        waiting.pop(number, None)

    async def _answer(self, number: int, request: Any, writer: asyncio.StreamWriter) -> None:
        runtime = self._runtime
        if runtime is None:
            return
        try:
            if isinstance(request, Registration):
                frame = wire.encode(number, "", await runtime.register(request))
            else:
                frame = wire.encode(number, "", await runtime.submit(request))
        except DurablyError as error:
            frame = wire.encode(number, _kind_of(error), str(error))
        writer.write(frame)
        with contextlib.suppress(ConnectionError):
            await writer.drain()


class DriverLink:
    """A follower's connection to the driver."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_registry_changed: Callable[[], None]
    ) -> None:
        """Use a connection; see `open`."""
        self._reader = reader
        self._writer = writer
        self._on_registry_changed = on_registry_changed
        self._last_number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.is_lost: bool = False
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(cls, address: str, on_registry_changed: Callable[[], None]) -> DriverLink:
        """Connect to the driver at `address`.

        Raises:
            OSError: Nobody is there.
        """
        reader, writer = await asyncio.open_unix_connection(address)
        return cls(reader, writer, on_registry_changed)

    async def ask(self, request: Event | Registration) -> Outcome | RegisteredDeployment:
        """Hand a request over and give its outcome.

        Raises:
            LinkLostError: The driver is gone.
            StoreError: It cannot store.
            EngineStoppedError: It stops.
        """
        if self.is_lost:
            raise _lost()
        self._last_number = number = self._last_number + 1
        frame = wire.encode(number, "", request)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(frame)
            outcome: Outcome | RegisteredDeployment = await future
            return outcome
        except asyncio.CancelledError:
            if not self.is_lost:
                self._writer.write(wire.encode(number, wire.FORGET))
            raise
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Leave the driver."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._lose()

    async def _read(self) -> None:
        try:
            while (body := await wire.read_frame(self._reader)) is not None:
                number, kind, content = wire.decode(body)
                if kind == wire.REGISTRY_CHANGED:
                    self._on_registry_changed()
                    continue
                future = self._waiting.get(number)
                if future is None or future.done():
                    continue
                match kind:
                    case "StoreError":
                        future.set_exception(StoreError(content))
                    case "EngineStoppedError":
                        future.set_exception(LinkLostError(content))
                    case "ClientError":
                        future.set_exception(ClientError(content))
                    case _:
                        future.set_result(content)
        except ClientError as error:
            _logger.warning("The driver of the store is left: %s", error)
        finally:
            self._lose()

    def _lose(self) -> None:
        self.is_lost = True
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_lost())


def _kind_of(error: DurablyError) -> str:
    match error:
        case StoreError():
            return "StoreError"
        case EngineStoppedError():
            return "EngineStoppedError"
        case _:
            return "ClientError"  # asking another driver gives the same


def _lost() -> LinkLostError:
    return LinkLostError(
        "The process that drove the store is gone, and whether it stored this request is unknown.",
        hint="Give requests an idempotency key: then they are repeated by themselves.",
    )
