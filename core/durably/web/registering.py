"""An application that makes itself known to a Restate Server.

Owns the registration: what is asked of the admin API, and when it is asked again. It happens in the background,
because the server calls back at once and the application must serve by then, and because either may start first.

Rules
1. A deployment whose manifest the server knows already is left alone: so all workers of an application may do this,
   and restarts change nothing.
2. Another manifest at the same address replaces the earlier one: the code behind the address has changed as well.
3. HTTP/2 is tried before HTTP/1.1: only HTTP/2 can stream.
4. It is tried until it works. The first failure, and any that the server explains, are logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from durably.client.transport import httpx_module
from durably.protocol.manifest import ManifestVersion, ProtocolMode, render_manifest

if TYPE_CHECKING:
    from durably.endpoint import Endpoint
    from durably.web.settings import Settings

__all__ = ["Registrar"]

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_TIMEOUT_S: Final = 30.0
_PROBE_S: Final = 2.0
_JOIN_S: Final = 5.0
_METADATA: Final = "durably.manifest"

_logger = logging.getLogger("durably.web")


class _RefusedError(Exception):
    """The server, or the way to it, said no."""


class Registrar:
    """Registers one application with one server."""

    def __init__(self, settings: Settings, endpoint: Endpoint) -> None:
        """Prepare; both URLs are set."""
        assert settings.admin_url is not None
        assert settings.service_url is not None
        self._admin_url = settings.admin_url
        self._uri = f"{settings.service_url}{settings.prefix}"
        self._mode = settings.mode or endpoint.protocol_mode
        self._endpoint = endpoint
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_registered: bool = False

    # ---- life

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="durably-registration")

    async def stop(self) -> None:
        """Give up, if it is not done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def start_thread(self) -> None:
        """Begin, on a thread of its own."""
        self._thread = threading.Thread(target=self._run_alone, name="durably-registration", daemon=True)
        self._thread.start()

    def stop_thread(self) -> None:
        """Give up, if it is not done."""
        if self._thread is None:
            return
        loop, task = self._loop, self._task
        if loop is not None and task is not None and self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:  # it has just ended by itself
                _logger.debug("The registration ended meanwhile.")
        self._thread.join(_JOIN_S)

    def _run_alone(self) -> None:
        async def live() -> None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run())
            await asyncio.wait((self._task,))

        asyncio.run(live())

    async def _run(self) -> None:
        pause_s, last = _FIRST_PAUSE_S, ""
        async with httpx_module().AsyncClient(timeout=_TIMEOUT_S) as http:
            while True:
                try:
                    await self._register(http)
                except _RefusedError as error:
                    if str(error) != last:
                        last = str(error)
                        _logger.warning("%s is not registered at %s yet: %s", self._uri, self._admin_url, last)
                else:
                    self.is_registered = True
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    # ---- what is asked

    async def _register(self, http: Any) -> None:
        digest = self._digest()
        if await self._is_known(http, digest):
            _logger.info("%s is registered at %s already.", self._uri, self._admin_url)
            return
        told = ""
        for use_http_11 in await self._ways():
            body = {
                "uri": self._uri,
                "force": True,
                "use_http_11": use_http_11,
                "metadata": {_METADATA: digest},
            }
            response = await self._asked(http, "POST", "/deployments", body)
            if response.is_success:
                _logger.info("%s is registered at %s.", self._uri, self._admin_url)
                return
            told = told or _text_of(response)
        raise _RefusedError(told)

    def _digest(self) -> str:
        """Give what changes when the services do."""
        mode = self._mode or ProtocolMode.REQUEST_RESPONSE
        manifest = render_manifest(self._endpoint.manifest(mode), max(ManifestVersion))
        return hashlib.sha256(manifest).hexdigest()

    async def _is_known(self, http: Any, digest: str) -> bool:
        response = await self._asked(http, "GET", "/deployments")
        if not response.is_success:
            raise _RefusedError(_text_of(response))
        try:
            deployments: list[Any] = response.json()["deployments"]
            return any(self._is_this(each, digest) for each in deployments)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _RefusedError("the answer is not one of an admin API") from error

    def _is_this(self, deployment: Any, digest: str) -> bool:
        metadata: Any = deployment.get("metadata") or {}
        return str(deployment.get("uri", "")).rstrip("/") == self._uri and metadata.get(_METADATA) == digest

    async def _ways(self) -> tuple[bool, ...]:
        """Tell in which order HTTP/1.1 is tried or not; by what the application itself can see of its server."""
        if self._uri.startswith("https:"):
            return False, True
        if await self._answers(http1=False):
            return False, True
        if await self._answers(http1=True):
            return True, False
        return False, True  # only the server can reach it

    async def _answers(self, *, http1: bool) -> bool:
        httpx = httpx_module()
        try:
            async with httpx.AsyncClient(http1=http1, http2=not http1, timeout=_PROBE_S) as probe:
                response = await probe.get(f"{self._uri}/health")
        except (httpx.HTTPError, ImportError):  # http2 needs another package
            return False
        return bool(response.is_success)

    async def _asked(self, http: Any, method: str, path: str, body: Any = None) -> Any:
        httpx = httpx_module()
        try:
            return await http.request(method, f"{self._admin_url}{path}", json=body)
        except httpx.HTTPError as error:
            raise _RefusedError(f"{self._admin_url} cannot be reached: {error or type(error).__name__}") from error


def _text_of(response: Any) -> str:
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text
    return f"HTTP {response.status_code}: {str(message)[:500]}"
