"""An HTTP/2 server that does what a test tells it, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, RequestReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.hosting.wire import V6

EventT = TypeVar("EventT", bound=Event)


class PeerConnection:
    """One accepted connection.

    Attributes:
        h2: What to send with; then `flush`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: dict[Any, int]) -> None:
        """Begin with `settings`."""
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.ENABLE_CONNECT_PROTOCOL: 0, **settings}
        )
        self.h2.initiate_connection()
        self._reader = reader
        self.writer = writer
        self._events: list[Event] = []
        self.seen: list[Event] = []
        self.flush()

    def flush(self) -> None:
        """Send what `h2` has."""
        self.writer.write(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    def head(self, stream_id: int, *, status: int = 200, end_stream: bool = False, **headers: str) -> None:
        """Answer."""
        given = {"content-type": V6, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.h2.send_headers(stream_id, [(":status", str(status)), *given.items()], end_stream=end_stream)
        self.flush()

    def data(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        """Send a part of a response."""
        self.h2.send_data(stream_id, data, end_stream=end_stream)
        self.flush()

    async def event(self, kind: type[EventT]) -> EventT:
        """Wait for the next event of a kind; those before it are kept in `seen`."""
        async with asyncio.timeout(5):
            while True:
                while self._events:
                    event = self._events.pop(0)
                    self.seen.append(event)
                    if isinstance(event, kind):
                        return event
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionResetError("the client closed the connection")
                self._events += self.h2.receive_data(data)
                self.flush()

    async def request(self) -> int:
        """Wait for a request; gives its stream."""
        event = await self.event(RequestReceived)
        assert event.stream_id is not None
        return event.stream_id

    async def closed(self) -> None:
        """Wait until the client closed the connection."""
        async with asyncio.timeout(5):
            while True:
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:
                    return
                if not data:
                    return
                try:
                    self._events += self.h2.receive_data(data)
                except ProtocolError:
                    continue  # what arrives on streams that this side has given up


class Peer:
    """A listening server.

    Attributes:
        uri: Where.
        accepted: How many connections there were.
    """

    def __init__(self, settings: dict[Any, int]) -> None:
        """Greet each connection with `settings`."""
        self._settings = settings
        self._waiting: asyncio.Queue[PeerConnection] = asyncio.Queue()
        self.uri = ""
        self.accepted = 0
        self.open: list[PeerConnection] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.accepted += 1
        connection = PeerConnection(reader, writer, self._settings)
        self.open.append(connection)
        self._waiting.put_nowait(connection)

    async def connection(self) -> PeerConnection:
        """Wait for the next connection."""
        async with asyncio.timeout(5):
            return await self._waiting.get()


@asynccontextmanager
async def h2_peer(**settings: int) -> AsyncIterator[Peer]:
    """Listen on a free port of this machine. Settings by their names in `h2`, in lower case."""
    peer = Peer({SettingCodes[name.upper()]: value for name, value in settings.items()})
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    peer.uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer
    finally:
        server.close()
        for connection in peer.open:
            connection.writer.close()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def raw_peer(answer: bytes, *, closes: bool = True) -> AsyncIterator[str]:
    """Listen, answer whatever comes first with these bytes, and close; gives the address."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        await writer.drain()
        if not closes:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.01)
