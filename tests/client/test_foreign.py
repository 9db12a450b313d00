"""References to handlers by name: how their inputs are written and their results read."""

from __future__ import annotations

from typing import Any

import pytest

from durably.client import Foreign
from durably.errors import UsageError
from durably.serde import JsonSerde, TypedSerde
from tests.client.exchanges import Exchange, both
from tests.client.ingress import Ingress
from tests.client.shop import Order

FOREIGN: dict[str, tuple[Any, Any, bytes, str | None, bytes, Any]] = {
    "typed": (
        Foreign("S", "h", input=Order, output=Order),
        Order("a", 1),
        b'{"sku":"a","count":1}',
        "application/json",
        b'{"sku":"b","count":2}',
        Order("b", 2),
    ),
    "bytes": (
        Foreign("S", "h", input=bytes, output=bytes),
        b"\xff",
        b"\xff",
        "application/octet-stream",
        b"\xfe",
        b"\xfe",
    ),
    "serde": (
        Foreign("S", "h", input=JsonSerde[Any](), output=TypedSerde[Any](list[int])),
        {"a": 1},
        b'{"a":1}',
        "application/json",
        b"[1]",
        [1],
    ),
    "nothing": (Foreign("S", "h"), None, b"", None, b"ignored", None),
}


@both
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_calls(exchange: Exchange, ingress: Ingress, name: str) -> None:
    """Types and serdes say what travels; a part that was left out is nothing."""
    foreign, argument, body, content_type, answer, result = FOREIGN[name]
    ingress.answer(answer)

    assert exchange(ingress.url, lambda client: client.call(foreign, argument)) == result
    assert (ingress.last.path, ingress.last.body) == ("/S/h", body)
    assert ingress.last.headers.get("content-type") == content_type


@both
def test_foreign_workflows(exchange: Exchange, ingress: Ingress) -> None:
    """A workflow of another program is submitted, attached to and looked at by its names."""
    foreign = Foreign("Flow", "run", input=str, output=int)
    ingress.answer(b'{"invocationId":"inv_1","status":"Accepted"}', 202)
    ingress.answer(b"7")
    ingress.answer(b"8")
    exchange(ingress.url, lambda client: client.workflow_submit(foreign, "k", "x"))
    assert exchange(ingress.url, lambda client: client.workflow_attach(foreign, "k")) == 7
    assert exchange(ingress.url, lambda client: client.workflow_output(foreign, "k")).value == 8

    paths = [each.path for each in ingress.received]
    assert paths == ["/Flow/k/run/send", "/restate/workflow/Flow/k/attach", "/restate/workflow/Flow/k/output"]


@both
def test_input_where_there_is_none(exchange: Exchange, ingress: Ingress) -> None:
    """An argument for a handler that takes none is refused."""
    foreign: Any = Foreign("S", "h", output=int)
    with pytest.raises(UsageError, match="S/h takes no input"):
        exchange(ingress.url, lambda client: client.call(foreign, 3))
    assert ingress.received == []


@pytest.mark.parametrize(("service", "handler"), [("", "h"), ("s", ""), (1, "h")])
def test_names(service: Any, handler: Any) -> None:
    """A reference has names."""
    with pytest.raises(UsageError, match="has a name"):
        Foreign(service, handler)
    assert repr(Foreign("S", "h")) == "<Foreign S/h>"
