"""What the clients ask of httpx, and what its failures become."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from durably.errors import ClientError, ConfigurationError, MissingExtraError
from tests.client.exchanges import Exchange, both
from tests.client.ingress import Ingress, running_ingress
from tests.client.shop import ping


@both
def test_nothing_listens(exchange: Exchange) -> None:
    """A runtime that cannot be reached is a `ClientError` that names its URL."""
    with running_ingress() as closed:
        url = closed.url
    with pytest.raises(ClientError, match=rf"{url}.* cannot be reached"):
        exchange(url, lambda client: client.service_call(ping, None))


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
        with pytest.raises(ClientError, match="within the client's timeout"):
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
