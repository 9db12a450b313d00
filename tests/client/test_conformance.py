"""One client for every runtime: a server, the engine over HTTP, the engine in process; awaited and blocking."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durably.client import (
    BlockingDurablyClient,
    ClientTimeoutError,
    DurablyClient,
    Foreign,
    HttpError,
    IdempotentRequest,
    WorkflowRun,
)
from durably.errors import ClientError, UsageError
from tests.client.runtimes import Client, Kind
from tests.client.services import (
    Parcel,
    await_signal,
    await_word,
    count,
    double,
    double_blocking,
    enrol,
    headers,
    key_of,
    key_of_run,
    linger,
    refuse,
    token,
    word_id,
)

SHORT = timedelta(milliseconds=60)

KEYS = {
    "path": "a/b?c#d",
    "dots": "..",
    "dot": ".",
    "encoded": "a%2Fb%zz%",
    "non-ascii": "ü €/日本語\U0001f600",
    "controls": "a\r\nx: y\t\x7f",
    "nul": "a\x00b",
    "spaces": "  a  ",
    "verb": "send",
    "long": "k" * 8000,
}


def test_one_interface(client: Client) -> None:
    """Code that names the interface gets any of the clients."""
    kinds = client.ask(_itself)
    assert kinds == (True, client.style.value == "async") or kinds == (True, client.style.value == "blocking")


def _itself(each: Any) -> Any:
    one = isinstance(each, DurablyClient)
    other = isinstance(each, BlockingDurablyClient)

    async def later() -> tuple[bool, bool]:
        return one is not other, one

    return later() if one else (one is not other, other)


@pytest.mark.parametrize("handler", [double, double_blocking], ids=["async", "def"])
def test_calls(client: Client, handler: Any) -> None:
    """A call brings the typed result of handlers of both kinds."""
    assert client.ask(lambda each: each.call(handler, Parcel("a", 2))) == Parcel("a", 4)
    assert client.ask(lambda each: each.service_call(handler, Parcel("b", 3), timeout=timedelta(seconds=20))) == Parcel(
        "b", 6
    )


def test_optional_input(client: Client) -> None:
    """Nothing, where a handler allows it, is no input."""
    assert client.ask(lambda each: each.call(count, None)) is None
    assert client.ask(lambda each: each.call(count, Parcel("a", 7))) == 7


def test_foreign_handlers(client: Client) -> None:
    """A handler by its names is called, sent to and read with its types."""
    foreign = Foreign("Desk", "double", input=Parcel, output=Parcel)
    keyed = Foreign("Drawer", "key_of", output=str)
    handle = client.ask(lambda each: each.send(foreign, Parcel("a", 1)))

    assert client.ask(lambda each: each.call(foreign, Parcel("a", 2))) == Parcel("a", 4)
    assert client.ask(lambda each: each.call(keyed, key="k")) == "k"
    assert client.ask(lambda each: each.attach(handle.invocation_id, type_hint=Parcel)) == Parcel("a", 2)


def test_headers(client: Client) -> None:
    """Headers of the client and of a call reach the handler, whatever the case of their names."""
    seen = client.ask(
        lambda each: each.call(headers, headers={"X-One": "2", "x-two": "b"}), headers={"x-one": "1", "x-three": "c"}
    )
    assert {name: seen.get(name) for name in ("x-one", "x-two", "x-three")} == {
        "x-one": "2",
        "x-two": "b",
        "x-three": "c",
    }


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\x00", " a", "日本"], ids=["line", "nul", "space", "beyond"])
def test_headers_that_cannot_travel(client: Client, value: str) -> None:
    """A header that would be changed on the way is refused."""
    with pytest.raises(UsageError, match="The header x-a cannot be"):
        client.ask(lambda each: each.call(headers, headers={"x-a": value}))


def test_sending_and_attaching(client: Client) -> None:
    """A send is answered at once; its result can be waited for by id."""
    handle = client.ask(lambda each: each.send(double, Parcel("a", 1)))
    assert handle.is_new
    assert client.ask(lambda each: each.attach(handle.invocation_id, type_hint=Parcel)) == Parcel("a", 2)
    output = client.ask(lambda each: each.output(handle.invocation_id, type_hint=Parcel))
    assert (output.is_ready, output.value) == (True, Parcel("a", 2))


def test_delays(client: Client) -> None:
    """A delayed send has no output until it is due, and then has one."""
    handle = client.ask(lambda each: each.send(double, Parcel("a", 1), delay=timedelta(milliseconds=300)))
    assert not client.ask(lambda each: each.output(handle.invocation_id)).is_ready
    assert client.ask(lambda each: each.attach(handle.invocation_id, type_hint=Parcel)) == Parcel("a", 2)


def test_idempotency_keys(client: Client) -> None:
    """Calls with one idempotency key are one invocation, which can be found by the key."""
    once = client.key()
    first = client.ask(lambda each: each.call(token, idempotency_key=once))
    handle = client.ask(lambda each: each.send(token, idempotency_key=once))
    ref = IdempotentRequest("Desk", "token", once)

    assert client.ask(lambda each: each.call(token, idempotency_key=once)) == first
    assert not handle.is_new
    assert client.ask(lambda each: each.attach(ref)) == first
    assert client.ask(lambda each: each.output(ref)).value == first


@pytest.mark.parametrize("name", KEYS)
def test_keys_arrive_intact(client: Client, name: str) -> None:
    """Whatever a key holds, the handler has the same; and the run of a workflow is found under it."""
    key = KEYS[name]
    assert client.ask(lambda each: each.call(key_of, key=key)) == key
    run = f"{uuid.uuid4()}{key}"
    client.ask(lambda each: each.workflow_submit(enrol, run, "Ada"))
    assert client.ask(lambda each: each.call(key_of_run, key=run)) == run
    client.ask(lambda each: each.resolve_promise(enrol, run, "seats", 1))
    assert client.ask(lambda each: each.workflow_attach(enrol, run)) == Parcel("Ada", 1)


@pytest.mark.parametrize("key", ["", "\ud800", 7], ids=["empty", "half a surrogate", "number"])
def test_keys_that_are_refused(client: Client, key: Any) -> None:
    """What cannot be a key is refused before anything is sent."""
    with pytest.raises(UsageError, match="The key"):
        client.ask(lambda each: each.call(key_of, key=key))
    with pytest.raises(UsageError, match="The key"):
        client.ask(lambda each: each.workflow_attach(enrol, key))


def test_long_keys(client: Client) -> None:
    """A key of 10 kB and more arrives intact, or is refused with a text that says why."""
    for key in ("k" * 10_000, "ü" * 10_000, "k" * 100_000):
        arrived, refusal = outcome_of(client, lambda each, key=key: each.call(key_of, key=key))
        assert arrived == key or re.search("the key is longer|URI|URL", refusal), refusal[:200]


@pytest.mark.parametrize("once", ["a/b?c#d", "..", ".", "%2F", "a b", '"quoted"', "x" * 900])
def test_idempotency_keys_arrive_intact(client: Client, once: str) -> None:
    """Whatever printable text an idempotency key is, it names the same invocation in a header and in a reference."""
    mine = f"{uuid.uuid4()}{once}"
    first = client.ask(lambda each: each.call(token, idempotency_key=mine))
    assert client.ask(lambda each: each.attach(IdempotentRequest("Desk", "token", mine))) == first


@pytest.mark.parametrize("once", ["", "ü", "a\x00b", "a\r\nb", " a", "a ", "\ud800", 7])
def test_idempotency_keys_that_are_refused(client: Client, once: Any) -> None:
    """An idempotency key that a header would change is refused, in calls and in references."""
    with pytest.raises(UsageError, match="The idempotency key"):
        client.ask(lambda each: each.call(token, idempotency_key=once))
    with pytest.raises(UsageError, match="The idempotency key"):
        client.ask(lambda each: each.attach(IdempotentRequest("Desk", "token", once)))


def test_long_idempotency_keys(client: Client) -> None:
    """One of 10 kB works, or is refused with a text that says why."""
    once = f"{uuid.uuid4()}{'k' * 10_000}"
    first, refusal = outcome_of(client, lambda each: each.call(token, idempotency_key=once))
    if first is None:
        assert "idempotency-key is longer" in refusal
    else:
        assert client.ask(lambda each: each.call(token, idempotency_key=once)) == first


@pytest.mark.parametrize("status", [409, 470, 503], ids=str)
def test_failures_of_handlers(client: Client, status: int) -> None:
    """A handler's failure has its status, message and metadata, names its invocation, and is no refusal."""
    once = client.key()
    error = failure_of(client, lambda each: each.call(refuse, status, idempotency_key=once))
    assert (error.status_code, error.message, error.metadata) == (status, "refused", {"desk": "one"})
    assert error.source == "invocation"
    assert error.body is not None
    ref = IdempotentRequest("Desk", "refuse", once)
    assert failure_of(client, lambda each: each.output(ref)).status_code == status


def test_refusals(client: Client) -> None:
    """What the runtime refuses says that it was the runtime."""
    unknown = failure_of(client, lambda each: each.generic_call("Nobody", "home", b""))
    assert (unknown.status_code, unknown.source) == (404, "ingress")
    bad = failure_of(client, lambda each: each.attach("no-id"))
    assert (bad.status_code, bad.source) == (400, "ingress")
    bad = failure_of(client, lambda each: each.cancel("no-id"))
    assert (bad.status_code, bad.source) == (400, "admin")


def test_unknown_invocations(client: Client) -> None:
    """An invocation that does not exist is 404, whatever is asked of it."""
    absent = "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"
    uses: list[Callable[[Any], Any]] = [
        lambda each: each.attach(absent),
        lambda each: each.output(absent),
        lambda each: each.cancel(absent),
        lambda each: each.kill(absent),
        lambda each: each.workflow_attach(enrol, client.key()),
    ]
    for use in uses:
        assert failure_of(client, use).status_code == 404


def test_timeouts(client: Client) -> None:
    """A timeout ends the wait, not the invocation."""
    handle = client.ask(lambda each: each.send(await_signal, "go"))
    for use in (
        lambda each: each.attach(handle.invocation_id, timeout=SHORT),
        lambda each: each.generic_attach(handle.invocation_id, timeout=SHORT),
        lambda each: each.call(await_signal, "never", timeout=SHORT),
    ):
        with pytest.raises(ClientTimeoutError, match=r"No answer within 0.06 s") as caught:
            client.ask(use)
        assert isinstance(caught.value, TimeoutError)
    client.ask(lambda each: each.resolve_signal(handle.invocation_id, "go", "gone"))
    assert client.ask(lambda each: each.attach(handle.invocation_id)) == "gone"


def test_cancelling(client: Client) -> None:
    """Cancelling lets the handler end; a completed invocation cannot be cancelled any more."""
    handle = client.ask(lambda each: each.send(linger))
    client.ask(lambda each: each.cancel(handle.invocation_id))
    assert client.ask(lambda each: each.attach(handle.invocation_id)) == "cancelled"
    late = failure_of(client, lambda each: each.cancel(handle.invocation_id))
    assert (late.status_code, late.source) == (409, "admin")


def test_killing(client: Client) -> None:
    """Killing ends an invocation without its handler."""
    handle = client.ask(lambda each: each.send(linger))
    client.ask(lambda each: each.kill(handle.invocation_id))
    error = failure_of(client, lambda each: each.attach(handle.invocation_id))
    assert (error.status_code, error.source) == (409, "invocation")


def test_workflows(client: Client) -> None:
    """A workflow is submitted once, looked at, signalled by its promise, and waited for."""
    key = client.key()
    first = client.ask(lambda each: each.workflow_submit(enrol, key, "Ada"))
    again = client.ask(lambda each: each.workflow_submit(enrol, key, "Bob"))
    assert (first.is_new, again.is_new) == (True, False)
    assert first.invocation_id == again.invocation_id
    assert not client.ask(lambda each: each.workflow_output(enrol, key)).is_ready

    client.ask(lambda each: each.resolve_promise(enrol, key, "seats", 3))
    assert client.ask(lambda each: each.workflow_attach(enrol, key)) == Parcel("Ada", 3)
    assert client.ask(lambda each: each.workflow_output(enrol, key)).value == Parcel("Ada", 3)
    assert client.ask(lambda each: each.attach(WorkflowRun("Enrolment", key), type_hint=Parcel)) == Parcel("Ada", 3)
    taken = failure_of(client, lambda each: each.resolve_promise("Enrolment", key, "seats", 4))
    assert (taken.status_code, taken.source) == (409, "invocation")


def test_runs_take_no_idempotency_key(client: Client) -> None:
    """The key of a workflow makes its run idempotent already, and the runtime refuses another."""
    error = failure_of(client, lambda each: each.call(enrol, "Ada", key=client.key(), idempotency_key="once"))
    assert (error.status_code, error.source) == (400, "ingress")


def test_keys_that_do_not_fit(client: Client) -> None:
    """A key for a plain service, or none for an object, is refused by name too."""
    assert failure_of(client, lambda each: each.generic_call("Desk", "token", b"", "k")).status_code in {400, 404}
    assert failure_of(client, lambda each: each.generic_call("Drawer", "key_of", b"")).status_code in {400, 404}


def test_rejected_promises(client: Client) -> None:
    """A rejected promise fails the workflow that awaits it."""
    key = client.key()
    client.ask(lambda each: each.workflow_submit(enrol, key, "Ada"))
    client.ask(lambda each: each.reject_promise(enrol, key, "seats", "full"))
    error = failure_of(client, lambda each: each.workflow_attach(enrol, key))
    assert (error.status_code, error.message) == (500, "full")


def test_promises_that_are_not_exposed(client: Client) -> None:
    """The error for a service without the handler says what to do."""
    with pytest.raises(ClientError, match="expose_promises"):
        client.ask(lambda each: each.resolve_promise("Drawer", "k", "seats", 1))


def test_awakeables(client: Client) -> None:
    """An awakeable is resolved once, or rejected; a second time nothing happens."""
    for how in ("resolve", "reject"):
        key = client.key()
        handle = client.ask(lambda each, key=key: each.object_send(await_word, key, None))
        name = client.poll(lambda each, key=key: each.call(word_id, key=key), lambda word: word is not None)
        if how == "resolve":
            client.ask(lambda each, name=name: each.resolve_awakeable(name, "word"))
            client.ask(lambda each, name=name: each.resolve_awakeable(name, "other"))
            assert client.ask(lambda each, handle=handle: each.attach(handle.invocation_id)) == "word"
        else:
            client.ask(lambda each, name=name: each.reject_awakeable(name, "no ü"))
            error = failure_of(client, lambda each, handle=handle: each.attach(handle.invocation_id))
            assert (error.status_code, error.message) == (500, "no ü")


def test_bad_awakeables(client: Client) -> None:
    """What is no id of an awakeable is refused."""
    assert failure_of(client, lambda each: each.resolve_awakeable("sign_1x", 1)).status_code == 400


def test_signals(client: Client) -> None:
    """A signal by its name is resolved or rejected, before or while it is awaited."""
    for how in ("resolve", "reject"):
        handle = client.ask(lambda each: each.send(await_signal, "ü/go"))
        if how == "resolve":
            client.ask(lambda each, handle=handle: each.resolve_signal(handle.invocation_id, "ü/go", "gone"))
            assert client.ask(lambda each, handle=handle: each.attach(handle.invocation_id)) == "gone"
        else:
            client.ask(lambda each, handle=handle: each.reject_signal(handle.invocation_id, "ü/go", "stop"))
            error = failure_of(client, lambda each, handle=handle: each.attach(handle.invocation_id))
            assert (error.status_code, error.message) == (500, "stop")


def test_bad_signals(client: Client) -> None:
    """A signal without a name, or to what is no invocation, is refused."""
    with pytest.raises(UsageError, match="name is empty"):
        client.ask(lambda each: each.resolve_signal("inv_1", "", 1))
    assert failure_of(client, lambda each: each.resolve_signal("inv_1", "go", 1)).status_code == 400


def test_scopes(client: Client) -> None:
    """Scopes are refused by the engine in words, not ignored."""
    if client.runtime.kind is Kind.SERVER:
        with pytest.raises(ClientError):
            client.ask(lambda each: each.scope("no scope!").service_call(token, None))
        return
    error = failure_of(client, lambda each: each.scope("s").service_call(token, None))
    assert error.status_code == 400


def outcome_of(client: Client, use: Callable[[Any], Any]) -> tuple[Any, str]:
    """Give the result of something, or the text of the error that it ends with."""
    try:
        return client.ask(use), ""
    except (ClientError, UsageError) as error:
        return None, str(error)


def failure_of(client: Client, use: Callable[[Any], Any]) -> HttpError:
    """Give the error that something ends with."""
    with pytest.raises(HttpError) as caught:
        client.ask(use)
    return caught.value
