"""Which runtime is asked, and how.

Owns the one object that operations ask, and the choice of the command line. First that applies:

1. `--db FILE`: an embedded engine's file
2. `--url`, `--admin-url`: a Restate Server, or an engine with open ports
3. `DURABLY_URL`, which may name either, with `DURABLY_ADMIN_URL`
4. `durably.db` in the working directory, if it is there
5. http://localhost:8080 and http://localhost:9070

A file, and the engine of this process, are served by the engine's own HTTP applications, in process: so what is asked
and how it is answered is the same everywhere.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from durably.client.transport import httpx_module
from durably.errors import ConfigurationError, UsageError
from durably.operations.errors import NotFoundError, NotReachableError, OperationError
from durably.operations.files import FileApi, open_file

if TYPE_CHECKING:
    from durably.engine.admin.app import AdminApp
    from durably.engine.ingress.app import IngressApp

__all__ = ["Answer", "Connection", "Remote", "choose", "connect", "connect_engine"]

DEFAULT_FILE: Final = "durably.db"
DEFAULT_INGRESS: Final = "http://localhost:8080"
DEFAULT_ADMIN: Final = "http://localhost:9070"
_INGRESS_PORT: Final = 8080
_ADMIN_PORT: Final = 9070
_CONNECT_S: Final = 5.0
_ADMIN_S: Final = 60.0
_TOKEN_REFUSED: Final = frozenset((401, 403))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a runtime is; either a file or URLs.

    Attributes:
        db: The file of an embedded engine.
        ingress_url: Where invocations are sent; None asks the admin API.
        admin_url: Where operators ask; None where it cannot be told.
        token: Sent as `authorization: Bearer`.
        reason: Why this one, for messages.
    """

    db: str | None = None
    ingress_url: str | None = None
    admin_url: str | None = None
    token: str | None = None
    reason: str = ""

    @property
    def shown(self) -> str:
        """The runtime in one word."""
        return self.db or self.admin_url or self.ingress_url or ""


def choose(
    url: str | None = None,
    admin_url: str | None = None,
    db: str | None = None,
    token: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """Choose the runtime by the rules of the module.

    Raises:
        UsageError: What is given contradicts itself, or is no address.
    """
    env = os.environ if environ is None else environ
    token = token or env.get("DURABLY_TOKEN") or None
    if db is not None and (url is not None or admin_url is not None):
        raise UsageError("--db names a file, and --url a server: give one of them.")
    reason = "as given"
    if db is None and url is None and admin_url is None:
        url, admin_url, reason = env.get("DURABLY_URL") or None, env.get("DURABLY_ADMIN_URL") or None, "DURABLY_URL"
        if url is not None and not url.startswith("http"):
            db, url, admin_url = _path_of(url), None, None
    if db is not None:
        return Connection(db=db, token=token, reason=reason)
    if url is None and admin_url is None:
        if os.path.isfile(DEFAULT_FILE):
            return Connection(db=DEFAULT_FILE, token=token, reason="it is in the working directory")
        return Connection(ingress_url=DEFAULT_INGRESS, admin_url=DEFAULT_ADMIN, token=token, reason="the default")
    ingress = None if url is None else _checked(url)
    admin = _checked(admin_url) if admin_url is not None else _admin_of(ingress or "")
    return Connection(ingress_url=ingress, admin_url=admin, token=token, reason=reason)


def _path_of(url: str) -> str:
    from durably.engine.locations import read_url

    path = read_url(url).path
    if path is None:
        raise ConfigurationError(
            f"{url!r} is in the memory of another process, where nobody else can look.", hint="Give --db FILE or --url."
        )
    return path


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query
        _ = parts.port
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(f"{url!r} is no URL of a runtime.", hint="It begins with http:// or https://.")
    return url.rstrip("/")


def _admin_of(ingress: str) -> str | None:
    parts = urlsplit(ingress)
    if parts.port != _INGRESS_PORT:
        return None
    host = parts.netloc.rpartition(":")[0]
    return f"{parts.scheme}://{host}:{_ADMIN_PORT}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of one of the APIs.

    Attributes:
        status: Of HTTP.
        headers: In lower case.
        body: As it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Read the body, {} where there is none.

        Raises:
            OperationError: It is not JSON.
        """
        import json

        try:
            return json.loads(self.body) if self.body.strip() else {}
        except ValueError as error:
            raise OperationError("The runtime answered with something that is not JSON.") from error

    @property
    def message(self) -> str:
        """What a refusal says."""
        import json

        try:
            document: Any = json.loads(self.body)
            return str(document["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace").strip()[:500] or f"HTTP {self.status}"


class Remote:
    """A runtime, as commands ask it."""

    def __init__(
        self, connection: Connection, admin: Any, ingress: Any, file: FileApi | None = None, *, is_at_hand: bool = False
    ) -> None:
        """Use two HTTP clients; see `connect`.

        Args:
            connection: Where it is.
            admin: Reaches the admin API; None where its address is not known.
            ingress: Reaches the ingress; None asks the admin API for it.
            file: The engine's file, if that is all there is.
            is_at_hand: Whether an engine of this release is asked, in this process.
        """
        self.connection = connection
        self.file = file
        self.is_at_hand: bool = is_at_hand
        self._admin = admin
        self._ingress = ingress

    async def admin(
        self, method: str, path: str, body: object = None, *, params: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask the admin API, whatever it answers.

        Raises:
            NotReachableError: Nobody answers, or answers to us.
        """
        if self._admin is None:
            raise UsageError("Where the admin API is cannot be told from --url.", hint="Give --admin-url too.")
        self.check_writable(method, path)
        return await self._asked(
            self._admin, method, path, json=body, params=params, headers={"accept": "application/json"}
        )

    async def done(self, method: str, path: str, body: object = None, **parameters: Any) -> Any:
        """Ask the admin API, and give the document that it answers with.

        Raises:
            NotReachableError: Nobody answers.
            NotFoundError: What is asked for does not exist.
            OperationError: It was refused.
        """
        answer = await self.admin(method, path, body, **parameters)
        if answer.is_success:
            return answer.json()
        if answer.status == 404:
            raise NotFoundError(answer.message)
        raise OperationError(answer.message)

    async def query(self, sql: str) -> list[dict[str, Any]]:
        """Run one SELECT on the introspection views."""
        document = await self.done("POST", "/query", {"query": sql})
        return cast("list[dict[str, Any]]", document.get("rows", []))

    async def ingress(
        self, method: str, path: str, content: bytes | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Ask the ingress, whatever it answers; waits as long as handlers do.

        Raises:
            NotReachableError: Nobody answers.
        """
        self.check_writable(method, path)
        client = self._ingress
        if client is None:
            version = await self.done("GET", "/version")
            httpx = httpx_module()
            where = str(version.get("ingress_endpoint") or DEFAULT_INGRESS)
            client = self._ingress = httpx.AsyncClient(
                base_url=where, headers=_headers(self.connection), timeout=httpx.Timeout(None, connect=_CONNECT_S)
            )
        return await self._asked(client, method, path, content=content, headers=list(headers))

    def check_writable(self, method: str, path: str) -> None:
        """Refuse a change of a file that no process drives.

        Raises:
            NotReachableError: Nobody could do it.
        """
        if self.file is None or self.file.is_driven or method == "GET" or path == "/query":
            return
        raise NotReachableError(
            f"No process drives {self.file.path}, so it can only be looked at.",
            hint="Start its application, for example with `durably dev MODULE:APP`.",
        )

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._admin, self._ingress):
            if client is not None:
                await client.aclose()

    async def _asked(self, client: Any, method: str, path: str, **arguments: Any) -> Answer:
        httpx = httpx_module()
        try:
            response = await client.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise NotReachableError(f"{client.base_url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise NotReachableError(
                f"{str(client.base_url).rstrip('/')} cannot be reached: {error or type(error).__name__}.",
                hint="Is the runtime running? Name another with --url and --admin-url, or a file with --db.",
            ) from error
        except httpx.InvalidURL as error:
            raise UsageError(f"{path!r} cannot be asked for: {error}.") from error
        answer = Answer(response.status_code, dict(response.headers), response.content)
        if answer.status in _TOKEN_REFUSED and client is self._admin:
            raise NotReachableError(
                f"{self.connection.shown} does not let us in: {answer.message}.", hint="Give --token, or DURABLY_TOKEN."
            )
        return answer


@asynccontextmanager
async def connect(connection: Connection, *, patience_s: float = _ADMIN_S) -> AsyncGenerator[Remote]:
    """Give a runtime as long as the block lasts.

    Args:
        connection: Where it is.
        patience_s: How long the admin API of a server may take for one answer.

    Raises:
        NotReachableError: The file is not there.
        StoreError: It cannot be read.
    """
    httpx = httpx_module()
    if connection.db is None:
        headers = _headers(connection)
        admin = ingress = None
        if connection.admin_url is not None:
            timeout = httpx.Timeout(patience_s, connect=_CONNECT_S)
            admin = httpx.AsyncClient(base_url=connection.admin_url, headers=headers, timeout=timeout)
        if connection.ingress_url is not None:
            timeout = httpx.Timeout(None, connect=_CONNECT_S)
            ingress = httpx.AsyncClient(base_url=connection.ingress_url, headers=headers, timeout=timeout)
        remote = Remote(connection, admin, ingress)
        try:
            yield remote
        finally:
            await remote.close()
        return
    from durably.engine.admin.app import AdminApp
    from durably.engine.ingress.app import IngressApp

    async with open_file(connection.db) as file:
        remote = Remote(connection, _in_process(AdminApp(file)), _in_process(IngressApp(file)), file, is_at_hand=True)
        try:
            yield remote
        finally:
            await remote.close()


@asynccontextmanager
async def connect_engine(admin: AdminApp, ingress: IngressApp, shown: str) -> AsyncGenerator[Remote]:
    """Give the engine of this process as long as the block lasts, whether it drives its file or another process does.

    Args:
        admin: The engine's `admin_app`; keep it, because making one is not free.
        ingress: The engine's `ingress_app`.
        shown: The engine in one word.
    """
    connection = Connection(db=shown, reason="it runs in this process")
    remote = Remote(connection, _in_process(admin), _in_process(ingress), is_at_hand=True)
    try:
        yield remote
    finally:
        await remote.close()


def _in_process(app: Any) -> Any:
    httpx = httpx_module()
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=None)


def _headers(connection: Connection) -> dict[str, str]:
    return {} if connection.token is None else {"authorization": f"Bearer {connection.token}"}
