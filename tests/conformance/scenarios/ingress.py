"""Ingress: what an invocation from outside carries."""

from __future__ import annotations

import random

from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []


@scenario("Ingress.headersPassThrough")
def headers_pass_through(stage: Stage) -> None:
    """Headers of the request reach the handler."""
    answer = stage.ingress.raw("TestUtilsService", "echoHeaders", headers={"x-my-custom-header": "x-my-custom-value"})
    assert answer.status == 200, answer
    assert answer.value()["x-my-custom-header"] == "x-my-custom-value"


@scenario("Ingress.rawHandler")
def raw_handler(stage: Stage) -> None:
    """Bytes pass untouched in both directions, with the handler's content types."""
    octets = random.Random(0).randbytes(100)
    headers = {"content-type": "application/octet-stream"}
    answer = stage.ingress.raw("TestUtilsService", "rawEcho", body=octets, headers=headers)
    assert answer.status == 200, answer
    assert answer.body == octets
    assert answer.headers["content-type"] == "application/octet-stream"
