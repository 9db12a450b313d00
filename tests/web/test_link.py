"""The link to the runtime: its start and stop, its clients, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import durably
from durably.authoring.handlers import handler_of
from durably.client import transport
from durably.endpoint import Endpoint
from durably.engine.options import EngineOptions
from durably.errors import ConfigurationError, EngineStoppedError, MissingExtraError, RegistrationError
from durably.hosting.options import HostingOptions, Unsigned
from durably.protocol.manifest import ProtocolMode
from durably.web.calls import Done, EndpointCall, Failed, perform, perform_blocking, poll, poll_blocking
from durably.web.link import Link
from durably.web.settings import read_settings
from tests.web.shop import place, services

KEY = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"
CALL = EndpointCall(handler=handler_of(place), payload=b"{}")


def link_to(url: str, *, endpoint: Endpoint | None = None, hosting: HostingOptions | None = None, **more: Any) -> Link:
    """Make a link that is not started."""
    settings = read_settings({"url": url, **more}, {}, {})
    return Link(settings, endpoint or Endpoint().bind(*services), hosting=hosting)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database of its own."""
    return f"sqlite:///{tmp_path}/d.db"


def test_calls_before_the_start_and_after_the_stop_are_503() -> None:
    """With a word on when to come back; whoever asks for a client gets an error that says why."""

    async def use(link: Link) -> list[Any]:
        return [await perform(link, CALL), await poll(link, "x")]

    link = link_to("memory://")
    link.stop_blocking()
    for _ in range(2):
        answers = [perform_blocking(link, CALL), poll_blocking(link, "x"), *asyncio.run(use(link))]
        for answer in answers:
            assert isinstance(answer, Failed)
            assert (answer.status, answer.headers) == (503, {"retry-after": "1"})
        for ask in (link.client, link.sync_client, lambda: link.facts):
            with pytest.raises(EngineStoppedError, match="does not run"):
                ask()
        link.start_blocking()
        link.stop_blocking()


def test_in_memory_a_handler_that_fails_ends() -> None:
    """Nobody waits for a deployment there: a test of an application with a mistake ends. Options change that."""
    broken = durably.Service("Broken")
    attempts: list[int] = []

    @broken.handler()
    async def fail(ctx: durably.Context) -> None:
        attempts.append(1)
        raise ValueError("a mistake")

    link = link_to("memory://", endpoint=Endpoint().bind(broken))
    link.start_blocking()
    try:
        answer = perform_blocking(link, EndpointCall(handler=handler_of(fail), payload=b""))
    finally:
        link.stop_blocking()
    assert isinstance(answer, Failed)
    assert (answer.status, answer.message, len(attempts)) == (500, "ValueError: a mistake", 8)
    given = EngineOptions()
    chosen = Link(read_settings({"url": "memory://"}, {}, {}), Endpoint(), options=given)
    assert chosen._engine_options() is given
    assert link_to("sqlite:///d.db")._engine_options() is None


def test_starting_twice_is_starting_once() -> None:
    """Also when two requests do it at the same moment."""

    async def live() -> None:
        link = link_to("memory://")
        await asyncio.gather(link.start(), link.start())
        engine = link.engine
        await link.start()
        assert link.engine is engine
        assert link.is_started
        await asyncio.gather(link.stop(), link.stop())
        assert (link.engine, link.is_started) == (None, False)

    asyncio.run(live())
    blocking = link_to("memory://")
    threads = [threading.Thread(target=blocking.start_blocking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(perform_blocking(blocking, CALL), Done)
    blocking.stop_blocking()


def test_it_starts_again_on_another_event_loop(sqlite_url: str) -> None:
    """As tests of an application do; addresses of results stay valid, because the secret is kept."""
    link = link_to(sqlite_url)

    async def live(token: str | None) -> str:
        await link.start()
        try:
            if token is not None:
                assert isinstance(await poll(link, token, "wait=10"), Done)
            accepted = await perform(link, EndpointCall(handler=CALL.handler, payload=b"{}", prefer="wait=0"))
            location = accepted.headers["location"]
            return location.rpartition("/")[2]
        finally:
            await link.stop()

    asyncio.run(live(asyncio.run(live(None))))
    assert link.is_started is False


def test_the_secret_of_a_database_stands_beside_it(tmp_path: Path, sqlite_url: str) -> None:
    """Made with the first start; in memory each process has its own; a given one wins."""
    tokens = []
    for link in (
        link_to(sqlite_url),
        link_to(sqlite_url),
        link_to("memory://"),
        link_to("memory://"),
        link_to("memory://", secret_key="k" * 20),
        link_to("memory://", secret_key="k" * 20),
    ):
        link.start_blocking()
        tokens.append(link.facts.tokens.make("inv_1", "S", "h", key=None, idempotency_key=None))
        link.stop_blocking()
    assert [tokens[0] == tokens[1], tokens[2] == tokens[3], tokens[4] == tokens[5]] == [True, False, True]
    assert (tmp_path / "d.db-secret").stat().st_mode & 0o777 == 0o600


def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path, sqlite_url: str) -> None:
    """The engine is stopped again, so that the next start can work."""
    link = link_to(sqlite_url)
    secret = tmp_path / "d.db-secret"
    secret.write_text("open to all, and far too readable for a secret")
    secret.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        link.start_blocking()
    with pytest.raises(ConfigurationError, match="chmod 600"):
        asyncio.run(link.start())
    assert not link.is_started
    secret.chmod(0o600)
    link.start_blocking()
    assert isinstance(perform_blocking(link, CALL), Done)
    link.stop_blocking()


def test_services_are_bound_before_the_start() -> None:
    """A later one would never be called: it is refused, and the text says when to bind it."""
    endpoint = Endpoint().bind(*services)
    link = link_to("memory://", endpoint=endpoint)
    link.start_blocking()
    with pytest.raises(RegistrationError, match=r"'Late' cannot be bound any more.*at import"):
        endpoint.bind(durably.Service("Late"))
    link.stop_blocking()
    endpoint.bind(durably.Service("Late"))


def test_an_application_without_services_starts() -> None:
    """It may only want a client, or have none yet."""
    link = link_to("memory://", endpoint=Endpoint())
    link.start_blocking()
    outcome = perform_blocking(link, CALL)
    assert isinstance(outcome, Failed)
    assert outcome.status == 503
    link.stop_blocking()


def test_the_embedded_engine_serves_no_route() -> None:
    """Nobody can run handlers with a forged journal where no route leads to them; keys for a server do no harm."""
    link = link_to("memory://", identity_keys="publickeyv1_x")
    assert link.invoke_app is None
    assert link.wsgi_invoke_app is None
    assert link.endpoint.identity_keys == ()


@pytest.mark.parametrize(
    ("settings", "peer", "status"),
    [
        ({}, "127.0.0.1", 200),
        ({}, "10.0.0.1", 401),
        ({"allow_unsigned": True}, "10.0.0.1", 200),
        ({"identity_keys": KEY}, "127.0.0.1", 401),
        ({"identity_keys": KEY, "allow_unsigned": True}, "127.0.0.1", 401),
    ],
)
def test_who_may_call_the_routes_of_the_runtime(settings: dict[str, Any], peer: str, status: int) -> None:
    """This machine; with keys those who sign; everybody only on purpose. Options of the host app do not open it."""
    link = link_to("http://127.0.0.1:1", hosting=HostingOptions(unsigned=Unsigned.ACCEPT), **settings)
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/restate/discover",
        "headers": [],
        "client": (peer, 1),
        "asgi": {},
    }
    assert link.invoke_app is not None
    asyncio.run(link.invoke_app(scope, receive, send))
    assert sent[0]["status"] == status
    answered: list[str] = []
    assert link.wsgi_invoke_app is not None
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/restate/discover", "REMOTE_ADDR": peer}
    link.wsgi_invoke_app(environ, lambda line, headers: answered.append(line))
    assert answered[0].startswith(str(status))


def test_the_mode_is_the_settings() -> None:
    """It reaches the application that the runtime calls."""
    link = link_to("http://127.0.0.1:1", mode="request_response")
    assert link.settings.mode is ProtocolMode.REQUEST_RESPONSE
    assert link.invoke_app is not None
    assert link.invoke_app._options.mode is ProtocolMode.REQUEST_RESPONSE  # pyright: ignore[reportPrivateUsage]


def test_a_server_that_is_away_is_a_503(caplog: pytest.LogCaptureFixture) -> None:
    """The call says so, and the log says what could not be reached; the start does not wait for it."""

    async def live() -> Any:
        link = link_to("http://127.0.0.1:1")
        await link.start()
        first, second = link.client(), link.client()
        assert first is second
        outcome = await perform(link, CALL)
        polled = await poll(link, "run_" + "x" * 32 + "~Shop~place~inv_1234567890")
        await link.stop()
        assert first.client.is_closed  # type: ignore[union-attr]
        return [outcome, polled]

    link = link_to("http://127.0.0.1:1")
    link.start_blocking()
    assert link.sync_client() is link.sync_client()
    outcomes = [perform_blocking(link, CALL), *asyncio.run(live())]
    link.stop_blocking()
    assert [(outcome.status, outcome.headers) for outcome in outcomes] == [(503, {"retry-after": "1"})] * 3
    assert "http://127.0.0.1:1 cannot be reached" in caplog.text


def test_each_event_loop_has_a_client_of_its_own() -> None:
    """Connections belong to a loop; an application may run several, one after the other or at once."""
    link = link_to("http://127.0.0.1:1")
    link.start_blocking()

    async def ask() -> Any:
        client: Any = link.client()
        await client.client.aclose()
        return client

    assert asyncio.run(ask()) is not asyncio.run(ask())
    link.stop_blocking()


def test_what_is_not_installed_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the first call."""

    def missing() -> Any:
        raise MissingExtraError("The client", "client")

    monkeypatch.setattr(transport, "httpx_module", missing)
    link = link_to("http://127.0.0.1:1")
    with pytest.raises(MissingExtraError, match=r"durably\[client\]"):
        link.start_blocking()
    with pytest.raises(MissingExtraError):
        asyncio.run(link.start())
    assert not link.is_started


def test_a_link_does_not_survive_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and sockets stay behind; the text says what to do, and calls are 503 meanwhile."""
    link = link_to("memory://")
    link.start_blocking()
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: -1)
        with pytest.raises(EngineStoppedError, match=r"before this process was forked.*each worker"):
            link.client()
        outcome = perform_blocking(link, CALL)
        assert isinstance(outcome, Failed)
        assert outcome.status == 503
    assert isinstance(perform_blocking(link, CALL), Done)
    link.stop_blocking()


def test_clients_of_an_engine_work_on_any_loop_and_thread() -> None:
    """An engine on a thread of its own is called from an event loop, and from threads beside it."""
    link = link_to("memory://")
    link.start_blocking()

    async def use() -> list[Any]:
        return [await perform(link, CALL), await asyncio.to_thread(perform_blocking, link, CALL)]

    assert all(isinstance(outcome, Done) for outcome in asyncio.run(use()))
    link.stop_blocking()
