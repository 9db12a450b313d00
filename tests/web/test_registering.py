"""An application that registers itself: with a real server, and with one that is late, broken or of another mind."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import durably
from durably.endpoint import Endpoint
from durably.errors import MissingExtraError
from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from durably.web import registering
from durably.web.registering import Registrar
from durably.web.settings import Settings, read_settings
from tests.web.shop import services
from tests.web.sites import served


@dataclass
class Admin:
    """An admin API that answers what it is told."""

    url: str
    asked: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    answers: list[tuple[int, Any]] = field(default_factory=list[tuple[int, Any]])

    @property
    def ways(self) -> list[bool]:
        """Which registrations were asked to speak HTTP/1.1."""
        return [body["use_http_11"] for method, _, body in self.asked if method == "POST"]


@contextmanager
def admin_api(port: int = 0) -> Iterator[Admin]:
    """Run one."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            admin.asked.append((self.command, self.path, body))
            status, answer = admin.answers.pop(0) if admin.answers else (200, {"deployments": []})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    admin = Admin(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield admin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than in operation."""
    monkeypatch.setattr(registering, "_FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(registering, "_LONGEST_PAUSE_S", 0.02)


def settings_for(admin_url: str, service_url: str = "http://127.0.0.1:1", **more: Any) -> Settings:
    """Give the settings of an application that registers itself."""
    given = {"url": "http://127.0.0.1:1", "admin_url": admin_url, "service_url": service_url, **more}
    return read_settings(given, {}, {})


def registrar_for(admin_url: str, service_url: str = "http://127.0.0.1:1", *more: Any) -> Registrar:
    """Make a registrar of the shop."""
    return Registrar(settings_for(admin_url, service_url), Endpoint().bind(*services, *more))


def register(registrar: Registrar, seconds: float = 10) -> None:
    """Run it to its end, on an event loop."""

    async def live() -> None:
        registrar.start()
        async with asyncio.timeout(seconds):
            assert registrar._task is not None  # pyright: ignore[reportPrivateUsage]
            await registrar._task  # pyright: ignore[reportPrivateUsage]
        await registrar.stop()

    asyncio.run(live())


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_what_is_asked() -> None:
    """One look, one registration: address with the prefix, replacing, with a digest of the services."""
    with admin_api() as admin:
        register(registrar_for(admin.url, "http://10.0.0.5:8000/base"))
    (get, _, _), (post, path, body) = admin.asked
    assert (get, post, path) == ("GET", "POST", "/deployments")
    assert body["uri"] == "http://10.0.0.5:8000/base/restate"
    assert body["force"] is True
    assert len(body["metadata"]["durably.manifest"]) == 64


def test_what_is_registered_already_is_left_alone() -> None:
    """All workers of an application may do this, and restarts change nothing; another manifest is registered."""
    with admin_api() as admin:
        register(registrar_for(admin.url))
        known = {"uri": "http://127.0.0.1:1/restate/", "metadata": admin.asked[1][2]["metadata"]}
        others = [{"uri": "http://127.0.0.1:1/other"}, {"arn": "x", "metadata": None}]
        admin.asked.clear()
        admin.answers.append((200, {"deployments": [*others, known]}))
        register(registrar_for(admin.url))
        assert [method for method, _, _ in admin.asked] == ["GET"]
        admin.answers.append((200, {"deployments": [*others, known]}))
        register(registrar_for(admin.url, "http://127.0.0.1:1", durably.Service("Another")))
        assert [method for method, _, _ in admin.asked] == ["GET", "GET", "POST"]


def test_it_is_tried_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever was wrong: the text of each new reason is logged once, and in the end it is registered."""
    with admin_api() as admin:
        admin.answers += [
            (500, b"a page"),
            (200, b"no JSON"),
            (200, {"other": 1}),
            (200, {"deployments": [7]}),
            *[(200, {"deployments": []}), (500, {"message": "META0003 first"}), (400, {"message": "second"})] * 2,
        ]
        register(registrar_for(admin.url))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for warning, reason in zip(
        warnings, ("HTTP 500: a page", "not one of an admin API", "META0003 first"), strict=True
    ):
        assert reason in warning


@pytest.mark.parametrize("is_thread", [False, True])
def test_the_server_may_start_later(is_thread: bool) -> None:
    """Nothing answers at first."""
    port = free_port()
    registrar = registrar_for(f"http://127.0.0.1:{port}")
    if is_thread:
        registrar.start_thread()
        with admin_api(port) as admin:
            wait_for(lambda: registrar.is_registered)
        registrar.stop_thread()
    else:
        later = threading.Event()

        def run() -> None:
            later.wait(5)
            with admin_api(port):
                wait_for(lambda: registrar.is_registered)

        thread = threading.Thread(target=run)
        thread.start()
        later.set()
        register(registrar)
        thread.join()
        return
    assert [method for method, _, _ in admin.asked] == ["GET", "POST"]


@pytest.mark.parametrize("is_thread", [False, True])
def test_it_gives_up_with_the_application(is_thread: bool) -> None:
    """A server that is never there does not hold up the stop; stopping what never began is nothing."""
    registrar = registrar_for(f"http://127.0.0.1:{free_port()}")
    if is_thread:
        registrar.stop_thread()
        registrar.start_thread()
        wait_for(lambda: registrar._task is not None)  # pyright: ignore[reportPrivateUsage]
        started = time.monotonic()
        registrar.stop_thread()
        assert time.monotonic() - started < 3
    else:

        async def live() -> None:
            await registrar.stop()
            registrar.start()
            await asyncio.sleep(0.01)
            async with asyncio.timeout(3):
                await registrar.stop()

        asyncio.run(live())
    assert not registrar.is_registered


async def _health(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_the_way_that_works_is_tried_first() -> None:
    """A server of HTTP/1.1 only is spared an attempt; what only the runtime can reach is tried both ways."""
    with admin_api() as admin, served(_health, free_port()) as url:
        register(registrar_for(admin.url, url))
        assert admin.ways == [True]
        admin.asked.clear()
        admin.answers += [(200, {"deployments": []}), (400, {"message": "no"})]
        register(registrar_for(admin.url, "https://127.0.0.1:1"))
        assert admin.ways == [False, True]
        admin.asked.clear()
        admin.answers += [(200, {"deployments": []}), (400, {"message": "no"})]
        register(registrar_for(admin.url))
        assert admin.ways == [False, True]


def test_without_the_package_for_http2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application cannot look for itself, and registers all the same."""
    module = registering.httpx_module()
    original = module.AsyncClient

    def client(*args: Any, http2: bool = False, **kwargs: Any) -> Any:
        if http2:
            raise MissingExtraError("HTTP/2", "engine")
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "AsyncClient", client)
    with admin_api() as admin, served(_health, free_port()) as url:
        register(registrar_for(admin.url, url))
        assert admin.ways == [True]


def test_a_real_server_registers_and_keeps_it(restate: Callable[[], RestateServer]) -> None:
    """Its answers have the form that is relied on: a second look finds the first registration."""
    import urllib.request

    server, port = restate(), free_port()
    endpoint = Endpoint().bind(durably.Service("Registered"))

    @endpoint.services["Registered"].handler()  # type: ignore[call-arg]
    async def greet(ctx: durably.Context) -> str:
        """Greet."""
        return "hello"

    settings = settings_for(server.admin_url, f"http://127.0.0.1:{port}")

    def deployments() -> list[Any]:
        with urllib.request.urlopen(f"{server.admin_url}/deployments") as answer:
            return [each for each in json.load(answer)["deployments"] if str(port) in each["uri"]]

    with served(endpoint.app(), port):
        register(Registrar(settings, endpoint))
        first = deployments()
        register(Registrar(settings, endpoint))
        assert deployments() == first
        assert len(first) == 1

        @endpoint.services["Registered"].handler()  # type: ignore[call-arg]
        async def leave(ctx: durably.Context) -> str:
            """Leave."""
            return "bye"

        register(Registrar(settings, endpoint))
        assert len(deployments()) == 1
        assert deployments() != first
