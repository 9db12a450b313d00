"""State: what virtual objects store."""

from __future__ import annotations

from tests.conformance.scenarios.calls import proxied
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []


@scenario("State.add")
def add(stage: Stage) -> None:
    """State survives from one invocation to the next."""
    key = stage.key()
    assert stage.ingress.call("Counter", key, "add", argument=1) == {"oldValue": 0, "newValue": 1}
    assert stage.ingress.call("Counter", key, "add", argument=2) == {"oldValue": 1, "newValue": 3}
    stage.ingress.call("Counter", key, "reset")
    assert stage.ingress.call("Counter", key, "get") == 0


@scenario("State.proxyOneWayAdd")
def proxy_one_way_add(stage: Stage) -> None:
    """Three sends are three increments."""
    key = stage.key()
    for _ in range(3):
        stage.ingress.call("Proxy", "oneWayCall", argument=proxied("Counter", key, "add", argument=1))
    stage.poll(lambda: stage.ingress.call("Counter", key, "get"), until=lambda n: n == 3, what="the counter is 3")


@scenario("State.listStateAndClearAll")
def list_state_and_clear_all(stage: Stage) -> None:
    """All keys of one object are listed and cleared, and those of another object are left alone."""
    first, second = stage.key(), stage.key()
    for key, name in ((first, "my-key-0"), (first, "my-key-1"), (second, "my-key-2")):
        stage.ingress.call("MapObject", key, "set", argument={"key": name, "value": f"value of {name}"})
    cleared = stage.ingress.call("MapObject", first, "clearAll")
    assert {entry["key"]: entry["value"] for entry in cleared} == {
        "my-key-0": "value of my-key-0",
        "my-key-1": "value of my-key-1",
    }
    for name in ("my-key-0", "my-key-1"):
        assert stage.ingress.call("MapObject", first, "get", argument=name) == ""
    assert stage.ingress.call("MapObject", second, "get", argument="my-key-2") == "value of my-key-2"
