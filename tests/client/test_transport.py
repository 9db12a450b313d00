"""What the clients ask of httpx, and what its failures become."""

from __future__ import annotations

import inspect
import threading
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably.client import ClientTimeoutError
from durably.errors import ClientError, ConfigurationError, MissingExtraError, UsageError
from tests.client.exchanges import Exchange, both
from tests.client.ingress import Ingress, running_ingress
from tests.client.shop import Order, add, ping


@both
def test_nothing_listens(exchange: Exchange) -> None:
    """A runtime that cannot be reached is a `ClientError` that names its URL."""
    with running_ingress() as closed:
        url = closed.url
    with pytest.raises(ClientError, match=rf"{url}.* cannot be reached"):
        exchange(url, lambda client: client.service_call(ping, None))


@both
def test_passwords_are_not_told(exchange: Exchange) -> None:
    """What stands before the host in a URL does not come into messages."""
    with running_ingress() as closed:
        url = closed.url.replace("http://", "http://me:secret@")
    with pytest.raises(ClientError, match="cannot be reached") as caught:
        exchange(url, lambda client: client.service_call(ping, None))
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError) as refused:
        exchange("ftp://me:secret@host", lambda client: client.service_call(ping, None))
    assert "secret" not in str(refused.value)


@both
def test_timeouts_are_there_only_when_asked_for(exchange: Exchange, ingress: Ingress) -> None:
    """A client has no timeout of its own; one that is asked for ends the wait with a `ClientError`."""
    timeouts: list[Any] = []

    def look(client: Any) -> Any:
        timeouts.append(client.client.timeout)
        return client.service_call(ping, None)

    exchange(ingress.url, look)
    assert {timeouts[0].read, timeouts[0].connect, timeouts[0].write, timeouts[0].pool} == {None}

    ingress.delay = threading.Event()
    try:
        with pytest.raises(ClientTimeoutError, match=r"No answer within 0.05 s"):
            exchange(
                ingress.url,
                lambda client: client.service_call(ping, None),
                timeout=timedelta(milliseconds=50),
            )
    finally:
        ingress.delay.set()


@both
@pytest.mark.parametrize("url", [None, "", "localhost:8080", "ftp://host", "http://"])
def test_urls_that_are_none(exchange: Exchange, url: Any) -> None:
    """A missing or wrong URL is refused with an example."""
    with pytest.raises(ConfigurationError, match=r"http://"):
        exchange(url, lambda client: client.service_call(ping, None))


@both
def test_a_base_path_is_kept(exchange: Exchange, ingress: Ingress) -> None:
    """An ingress behind a prefix works."""
    exchange(f"{ingress.url}/prefix/", lambda client: client.service_call(ping, None))

    assert ingress.last.path == "/prefix/Shop/ping"


@both
def test_httpx_is_an_extra(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without httpx the error names the extra."""
    import sys

    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"durably\[client\]"):
        exchange("http://localhost:1", lambda client: client.service_call(ping, None))


@both
def test_a_timeout_bounds_an_answer_that_trickles(exchange: Exchange, ingress: Ingress) -> None:
    """An answer that comes byte by byte, each in time, is over at the end of the timeout all the same."""
    ingress.trickle(b'"' + b"x" * 40 + b'"', pause=0.02)
    with pytest.raises(ClientTimeoutError, match=r"No answer within 0.1 s"):
        exchange(
            ingress.url, lambda client: client.generic_call("Shop", "ping", b"", timeout=timedelta(milliseconds=100))
        )


@both
def test_connections_are_used_again(exchange: Exchange, ingress: Ingress) -> None:
    """Requests one after the other share a connection."""

    def use(client: Any) -> Any:
        if inspect.iscoroutinefunction(client.call):

            async def thrice() -> None:
                for _ in range(3):
                    await client.call(ping)

            return thrice()
        return [client.call(ping) for _ in range(3)]

    exchange(ingress.url, use)
    assert len(ingress.received) == 3
    assert len(ingress.connections) == 1


@both
def test_cancelling_needs_the_admin_api(exchange: Exchange, ingress: Ingress) -> None:
    """Without its URL nothing is sent, and the error shows how to give it; a wrong one is refused at once."""
    with pytest.raises(ConfigurationError, match="admin_url="):
        exchange(ingress.url, lambda client: client.kill("inv_1"))
    with pytest.raises(ConfigurationError, match="is not the URL of an admin API"):
        exchange(ingress.url, lambda client: client.kill("inv_1"), admin_url="localhost:9070")
    assert ingress.received == []


@both
def test_the_admin_api(exchange: Exchange, ingress: Ingress) -> None:
    """Cancel and kill are sent to the admin API, with the headers of the client; its errors say that they are its."""
    with running_ingress() as admin:
        url = f"{admin.url}/admin/"
        exchange(ingress.url, lambda client: client.cancel("inv_1"), admin_url=url, headers={"authorization": "b"})
        admin.answer(b'{"message":"completed","restate_code":"META0009"}', 409)
        with pytest.raises(durably.HttpError) as caught:
            exchange(ingress.url, lambda client: client.kill("inv/1"), admin_url=url)

    assert (caught.value.status_code, caught.value.message, caught.value.source) == (409, "completed", "admin")
    assert [(each.method, each.path) for each in admin.received] == [
        ("PATCH", "/admin/invocations/inv_1/cancel"),
        ("PATCH", "/admin/invocations/inv%2F1/kill"),
    ]
    assert admin.received[0].headers["authorization"] == "b"
    assert ingress.received == []


@both
def test_requests_that_do_not_fit_into_a_url(exchange: Exchange, ingress: Ingress) -> None:
    """A key for which httpx has no room is refused in words."""
    with pytest.raises(UsageError, match="does not fit into a URL"):
        exchange(ingress.url, lambda client: client.object_call(add, "k" * 70_000, Order("a", 1)))
