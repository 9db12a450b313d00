"""CallOrdering and ServiceToServiceCommunication: calls and sends from one service to another."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

SEND, CALL = True, False
DELAY_MS = 5000
DELAYED_SENDS = 10


def proxied(*target: str, argument: Any, **options: Any) -> dict[str, Any]:
    """Make the request for a proxy to call `(service, handler)` or `(service, key, handler)`."""
    service, handler, key = target[0], target[-1], target[1] if len(target) == 3 else None
    message = list(json.dumps(argument).encode())
    request = {"serviceName": service, "virtualObjectKey": key, "handlerName": handler, "message": message}
    return request | options


@scenario(
    "CallOrdering.ordering",
    variants={
        "send-call-call": {"kinds": (SEND, CALL, CALL)},
        "call-send-call": {"kinds": (CALL, SEND, CALL)},
        "send-send-call": {"kinds": (SEND, SEND, CALL)},
    },
)
def ordering(stage: Stage, kinds: tuple[bool, ...]) -> None:
    """Calls and sends to one key arrive in the order in which they were made."""
    key = stage.key()
    requests = [
        {
            "proxyRequest": proxied("ListObject", key, "append", argument=str(index)),
            "oneWayCall": one_way,
            "awaitAtTheEnd": True,
        }
        for index, one_way in enumerate(kinds)
    ]
    stage.ingress.call("Proxy", "manyCalls", argument=requests)
    assert stage.ingress.call("ListObject", key, "clear") == ["0", "1", "2"]


@scenario("ServiceToServiceCommunication.regularCall")
def regular_call(stage: Stage) -> None:
    """A service calls another and gets its result."""
    octets = stage.ingress.call("Proxy", "call", argument=proxied("TestUtilsService", "uppercaseEcho", argument="ping"))
    assert json.loads(bytes(octets)) == "PING"


@scenario("ServiceToServiceCommunication.oneWayCall")
def one_way_call(stage: Stage) -> None:
    """A service sends to an object, which executes it once; the sender learns the invocation's id."""
    key = stage.key()
    invocation_id = stage.ingress.call("Proxy", "oneWayCall", argument=proxied("Counter", key, "add", argument=1))
    assert invocation_id.startswith("inv_1")
    stage.poll(lambda: stage.ingress.call("Counter", key, "get"), until=lambda n: n == 1, what="the counter is 1")
    assert stage.ingress.attach(invocation_id) == {"oldValue": 0, "newValue": 1}


@scenario("ServiceToServiceCommunication.oneWayCallWithIdempotencyKey")
def one_way_call_with_idempotency_key(stage: Stage) -> None:
    """Sends that repeat an idempotency key are one invocation."""
    key, idempotency_key = stage.key(), stage.key()
    request = proxied("Counter", key, "add", argument=2, idempotencyKey=idempotency_key)
    ids = {stage.ingress.call("Proxy", "oneWayCall", argument=request) for _ in range(3)}
    assert len(ids) == 1
    stage.poll(lambda: stage.ingress.call("Counter", key, "get"), until=lambda n: n == 2, what="the counter is 2")
    output = stage.ingress.output_by_key("Counter", key, "add", idempotency_key=idempotency_key)
    assert output == {"oldValue": 0, "newValue": 2}


@scenario("ServiceToServiceCommunication.callWithIdempotencyKey")
def call_with_idempotency_key(stage: Stage) -> None:
    """Calls that repeat an idempotency key get the first one's result."""
    key, idempotency_key = stage.key(), stage.key()
    request = proxied("Counter", key, "add", argument=2, idempotencyKey=idempotency_key)
    for _ in range(3):
        octets = stage.ingress.call("Proxy", "call", argument=request)
        assert json.loads(bytes(octets)) == {"oldValue": 0, "newValue": 2}
    assert stage.ingress.call("Counter", key, "get") == 2
    output = stage.ingress.output_by_key("Counter", key, "add", idempotency_key=idempotency_key)
    assert output == {"oldValue": 0, "newValue": 2}


@scenario("ServiceToServiceCommunication.oneWayCallWithDelay")
def one_way_call_with_delay(stage: Stage) -> None:
    """Delayed sends to one key run when they are due, all of them, and wait in parallel."""
    key = stage.key()
    request = proxied("Counter", key, "add", argument=1, delayMillis=DELAY_MS)
    many = [{"proxyRequest": request, "oneWayCall": True, "awaitAtTheEnd": False}] * DELAYED_SENDS
    begun = time.monotonic()
    stage.ingress.call("Proxy", "manyCalls", argument=many)
    assert stage.ingress.call("Counter", key, "get") == 0
    stage.poll(
        lambda: stage.ingress.call("Counter", key, "get"),
        until=lambda n: n == DELAYED_SENDS,
        what="all delayed sends ran",
    )
    assert DELAY_MS / 1000 <= stage.elapsed_since(begun) < DELAYED_SENDS * DELAY_MS / 1000
