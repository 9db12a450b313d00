"""The two clients against a real HTTP server: paths, headers, bodies, answers, errors; the same for both."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

import durably
from durably.authoring.codec import JournalValueCodec
from durably.client import BlockingDurablyClient, DurablyClient, blocking
from durably.client.aio import Client
from durably.client.blocking import BlockingClient
from durably.engine.blocking_client import BlockingEngineClient
from durably.engine.client import EngineClient
from tests.client.exchanges import Exchange, Use, both
from tests.client.ingress import Ingress
from tests.client.shop import Order, add, confirm, maybe, place, run

"""What a test does with a client: it gives a value, or an awaitable of one."""

ACCEPTED = b'{"invocationId":"inv_1abc","status":"Accepted"}'


class Reversing(JournalValueCodec):
    def encode(self, buf: bytes) -> bytes:
        return buf[::-1]

    async def decode(self, buf: bytes) -> bytes:
        return buf[::-1]


@both
def test_typed_calls(exchange: Exchange, ingress: Ingress) -> None:
    """The handler's own types write the argument and read the result; headers and idempotency key arrive."""
    ingress.answer(b'[{"sku":"a","count":2}]')
    result = exchange(
        ingress.url,
        lambda client: client.service_call(place, Order("a", 2), idempotency_key="once", headers={"x-team": "a"}),
        headers={"authorization": "Bearer t"},
    )

    assert result == [Order("a", 2)]
    got = ingress.last
    assert (got.method, got.path, got.body) == ("POST", "/Shop/place", b'{"sku":"a","count":2}')
    expected = {
        "content-type": "application/json",
        "idempotency-key": "once",
        "x-team": "a",
        "authorization": "Bearer t",
    }
    assert {name: got.headers.get(name) for name in expected} == expected


@both
@pytest.mark.parametrize(
    ("use", "path"),
    [
        (lambda client: client.service_send(place, Order("a", 1)), "/Shop/place/send"),
        (
            lambda client: client.object_send(add, "k", Order("a", 1), send_delay=timedelta(seconds=1.5)),
            "/Cart/k/add/send?delay=1500ms",
        ),
        (lambda client: client.workflow_send(run, "k", "Ada"), "/Signup/k/run/send"),
        (lambda client: client.send(confirm, "x", key="k", delay=timedelta(0)), "/Signup/k/confirm/send?delay=0ms"),
        (lambda client: client.generic_send("Shop", "place", b"{}"), "/Shop/place/send"),
        (
            lambda client: client.scope("s/1").service_send(place, Order("a", 1), timedelta(hours=1), "limit"),
            "/restate/scope/s%2F1/send/Shop/place?delay=3600000ms",
        ),
        (
            lambda client: client.scope("s").object_send(add, "k", Order("a", 1), limit_key="limit"),
            "/restate/scope/s/send/Cart/k/add",
        ),
        (
            lambda client: client.scope("s").workflow_send(run, "k", "Ada", limit_key="limit"),
            "/restate/scope/s/send/Signup/k/run",
        ),
    ],
    ids=["service", "object", "workflow", "any", "generic", "scoped service", "scoped object", "scoped workflow"],
)
def test_sends(exchange: Exchange, ingress: Ingress, use: Use, path: str) -> None:
    """A send is answered with the invocation's id; delays carry their unit, scopes and limit keys arrive."""
    ingress.answer(ACCEPTED, 202)
    handle = exchange(ingress.url, use)

    assert (handle.invocation_id, handle.status_code, handle.is_new) == ("inv_1abc", 200, True)
    assert ingress.last.path == path
    assert ingress.last.headers.get("x-restate-limit-key") == ("limit" if "scope" in path else None)


@both
@pytest.mark.parametrize(
    ("use", "path"),
    [
        (lambda client: client.scope("s").service_call(maybe, None, "l"), "/restate/scope/s/call/Shop/maybe"),
        (lambda client: client.scope("s").object_call(add, "k", Order("a", 1)), "/restate/scope/s/call/Cart/k/add"),
        (lambda client: client.scope("s").workflow_call(confirm, "k", "x"), "/restate/scope/s/call/Signup/k/confirm"),
        (lambda client: client.workflow_call(confirm, "k", "x"), "/Signup/k/confirm"),
        (lambda client: client.call(add, Order("a", 1), key="k", scope="s"), "/restate/scope/s/call/Cart/k/add"),
        (lambda client: client.generic_call("a", "b", b"1", "k", scope="s"), "/restate/scope/s/call/a/k/b"),
    ],
    ids=[f"case {number}" for number in range(6)],
)
def test_other_calls(exchange: Exchange, ingress: Ingress, use: Use, path: str) -> None:
    """Every way to call leads to its path."""
    ingress.answer(b"1")
    exchange(ingress.url, use)

    assert ingress.last.path == path


@both
def test_attaching(exchange: Exchange, ingress: Ingress) -> None:
    """Attach gives the typed result, by id or by a workflow's key."""
    ingress.answer(b'{"sku":"a","count":1}')
    ingress.answer(b'{"sku":"b","count":2}')

    assert exchange(ingress.url, lambda client: client.attach("inv_1", type_hint=Order)) == Order("a", 1)
    assert exchange(ingress.url, lambda client: client.workflow_attach(run, "a/b")) == Order("b", 2)
    paths = [(each.method, each.path) for each in ingress.received]
    assert paths == [
        ("GET", "/restate/invocation/inv_1/attach"),
        ("GET", "/restate/workflow/Signup/a%2Fb/attach"),
    ]


@both
def test_outputs(exchange: Exchange, ingress: Ingress) -> None:
    """Output says whether there is one, without waiting; other errors are errors."""
    ingress.answer(b'{"sku":"a","count":1}')
    ingress.answer(b'{"message":"not ready"}', 470)
    ingress.answer(b"null")
    ingress.answer(b'{"message":"not found"}', 404)

    ready = exchange(ingress.url, lambda client: client.workflow_output(run, "k"))
    running = exchange(ingress.url, lambda client: client.output("inv_1"))
    nothing = exchange(ingress.url, lambda client: client.output("inv_1"))
    assert (ready.is_ready, ready.value) == (True, Order("a", 1))
    assert (running.is_ready, running.value) == (False, None)
    assert (nothing.is_ready, nothing.value) == (True, None)
    with pytest.raises(durably.HttpError, match="HTTP 404: not found"):
        exchange(ingress.url, lambda client: client.output("inv_2"))
    assert ingress.received[0].path == "/restate/workflow/Signup/k/output"
    assert ingress.last.path == "/restate/invocation/inv_2/output"


@both
def test_awakeables(exchange: Exchange, ingress: Ingress) -> None:
    """Awakeables are resolved with a value and rejected with a text."""
    exchange(ingress.url, lambda client: client.resolve_awakeable("sign_1x/y", {"ok": True}))
    exchange(ingress.url, lambda client: client.reject_awakeable("sign_1x", "too late"))

    resolved, rejected = ingress.received
    assert (resolved.path, resolved.body) == ("/restate/awakeables/sign_1x%2Fy/resolve", b'{"ok":true}')
    assert (rejected.path, rejected.body) == ("/restate/awakeables/sign_1x/reject", b"too late")


@both
def test_codecs(exchange: Exchange, ingress: Ingress) -> None:
    """With the endpoint's codec bodies are changed on the way out and results on the way in, a send's answer is not."""
    ingress.answer(b'[{"sku":"a","count":2}]'[::-1])
    ingress.answer(ACCEPTED, 202)
    codec = Reversing()

    result = exchange(ingress.url, lambda client: client.service_call(place, Order("a", 2)), journal_value_codec=codec)
    handle = exchange(ingress.url, lambda client: client.service_send(place, Order("a", 2)), journal_value_codec=codec)
    assert result == [Order("a", 2)]
    assert handle.invocation_id == "inv_1abc"
    assert ingress.last.body == b'{"sku":"a","count":2}'[::-1]


def test_both_clients_have_the_same_methods() -> None:
    """The blocking clients have every method of the async ones, with the same parameters; all four are one."""
    for name, method in inspect.getmembers(DurablyClient, inspect.isfunction):
        if name.startswith("_"):
            continue
        twin = getattr(BlockingDurablyClient, name)
        theirs, ours = inspect.signature(twin), inspect.signature(method)
        assert [str(each) for each in theirs.parameters.values()] == [str(each) for each in ours.parameters.values()], (
            name
        )
        assert inspect.iscoroutinefunction(method) is (name != "scope")
        assert not inspect.iscoroutinefunction(twin)
    for one, blocks in ((Client, False), (EngineClient, False), (BlockingClient, True), (BlockingEngineClient, True)):
        assert issubclass(one, BlockingDurablyClient if blocks else DurablyClient)
        own = {name for name in vars(one) if not name.startswith("_")}
        assert own == set(), "what one client has, all have"


def test_the_blocking_client_has_a_public_name() -> None:
    """`durably.sync.create_client` is the blocking client, imported when it is asked for."""
    import durably.sync

    assert durably.sync.create_client is blocking.create_client
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = durably.sync.other  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
