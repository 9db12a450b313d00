"""The HTTP rules of a durable endpoint, on the embedded engine and on a real server, awaiting and blocking."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from durably.authoring.handlers import handler_of
from durably.client.interfaces import IdempotentRequest
from durably.errors import UsageError
from durably.web.calls import Accepted, Done, Failed, Outcome
from tests.web.shop import add, gates, place, run, runs, status
from tests.web.sites import Site

PLACE, ADD, RUN, STATUS = handler_of(place), handler_of(add), handler_of(run), handler_of(status)


def body(outcome: Outcome) -> Any:
    """Give the result, which must be there."""
    assert isinstance(outcome, Done), outcome
    return json.loads(outcome.body)


def token_of(outcome: Outcome) -> str:
    """Give the token of what goes on."""
    assert isinstance(outcome, Accepted), outcome
    assert outcome.location is not None
    assert outcome.headers["location"] == outcome.location
    return outcome.location.rpartition("/")[2]


def test_a_call_waits_for_its_result(site: Site) -> None:
    """The body is the handler's; the answer names the invocation."""
    outcome = site.call(PLACE, b'{"sku": "a"}')
    assert body(outcome)["order"] == {"sku": "a"}
    assert isinstance(outcome, Done)
    assert outcome.invocation_id is not None
    assert outcome.invocation_id.startswith("inv_1")
    assert outcome.headers == {"x-durably-invocation-id": outcome.invocation_id}
    assert outcome.handler is PLACE


def test_a_plain_call_is_one_request(site: Site) -> None:
    """Nothing else is asked of the server, also where the handler fails; waiting for a time takes two."""
    if site.is_embedded:
        return
    seen = site.counted()
    site.call(PLACE)
    site.call(PLACE, b'{"fail": 402}', idempotency_key=str(uuid.uuid4()))
    assert seen == ["POST", "POST"]
    site.call(PLACE, prefer="respond-async")
    assert seen == ["POST", "POST", "POST"]
    site.call(PLACE, prefer="wait=5")
    assert seen == ["POST", "POST", "POST", "POST", "GET"]


def test_headers_reach_the_handler_but_no_credentials(site: Site) -> None:
    """Tracing does; what the journal must not hold does not."""
    given = {
        "traceparent": "00-1",
        "X-Shop": "b",
        "Authorization": "Bearer x",
        "cookie": "a=b",
        "Host": "h",
        "content-length": "99",
        "content-type": "text/plain",
        "X-Restate-Limit-Key": "x",
        "idempotency-key": "z",
        "x-latin": "ü",
        "x-split": "a\r\nb: c",
    }
    headers = body(site.call(PLACE, headers=given))["headers"]
    assert (headers["traceparent"], headers["x-shop"]) == ("00-1", "b")
    assert headers["content-type"] == "application/json"
    assert not {"authorization", "cookie", "x-restate-limit-key", "idempotency-key", "x-latin", "x-split", "b"} & set(
        headers
    )


@pytest.mark.parametrize(("code", "answered"), [(402, 402), (404, 404), (409, 409), (599, 599), (500, 500), (200, 500)])
def test_a_failure_for_good_is_its_status(site: Site, code: int, answered: int) -> None:
    """A status of an error goes out as it is; with the text and the metadata that the handler gave."""
    outcome = site.call(PLACE, json.dumps({"fail": code}).encode())
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.message, outcome.is_of_handler) == (answered, "no stock", True)
    assert outcome.metadata == {"sku": "a"}
    assert outcome.invocation_id is not None
    assert outcome.headers == {"x-durably-invocation-id": outcome.invocation_id}


def test_bad_input_is_a_400_of_the_handler(site: Site) -> None:
    """A payload that the framework let through all the same."""
    outcome = site.call(PLACE, b"[]")
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.is_of_handler) == (400, True)


@pytest.mark.parametrize("key", ["order", "ü b", "x" * 300, "durably-run_x"])
def test_calls_with_one_idempotency_key_are_one(site: Site, key: str) -> None:
    """Whatever the key is; the second gets the first one's result. An untouched key can be used elsewhere."""
    key = f" {key}{uuid.uuid4()} "
    first = site.call(PLACE, b'{"sku": 1}', idempotency_key=key)
    again = site.call(PLACE, b'{"sku": 2}', idempotency_key=key.strip())
    assert body(again) == body(first)
    assert first.invocation_id == again.invocation_id


def test_callers_with_one_idempotency_key_do_not_meet(site: Site) -> None:
    """Each identity has keys of its own, and so have those who are not told apart."""
    key = str(uuid.uuid4())
    identities: list[bytes | None] = [b'"ann"', b'"bob"', None]
    ids = [site.call(PLACE, idempotency_key=key, identity=each).invocation_id for each in identities]
    assert len(set(ids)) == 3
    assert [site.call(PLACE, idempotency_key=key, identity=each).invocation_id for each in identities] == ids


@pytest.mark.parametrize(
    "how",
    [{"idempotency_key": ""}, {"idempotency_key": "  "}, {"key": ""}, {"key": "\ud800"}, {"key": "k" * 4097}],
    ids=range(5),
)
def test_what_cannot_be_called_is_refused(site: Site, how: dict[str, Any]) -> None:
    """It is the caller's mistake, and is told so."""
    outcome = site.call(ADD, **{"key": "k", **how})
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.is_of_handler) == (400, False)


def test_a_call_that_is_too_large_is_refused(site: Site) -> None:
    """No attempt could ever read it: 413, instead of an invocation that is tried for ever."""
    outcome = site.call(PLACE, b'"' + b"x" * (33 << 20) + b'"')
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.is_of_handler) == (413, False)


def test_objects_are_called_by_key(site: Site) -> None:
    """Whatever is in the key."""
    key = f"a/b ?ü%2F..{uuid.uuid4()}"
    assert body(site.call(ADD, b'{"n": 1}', key=key)) == [key, [{"n": 1}]]
    assert body(site.call(ADD, b'{"n": 2}', key=key)) == [key, [{"n": 1}, {"n": 2}]]
    with pytest.raises(UsageError, match="no key"):
        site.call(ADD)


def test_a_workflow_runs_once_for_its_key(site: Site) -> None:
    """Who calls it again gets its result, and not a refusal; a shared handler needs the key."""
    key = str(uuid.uuid4())
    first = site.call(RUN, b'{"n": 1}', key=key)
    again = site.call(RUN, b'{"n": 2}', key=key)
    assert body(first) == body(again) == [key, {"n": 1}]
    assert body(site.call(STATUS, key=key, idempotency_key="s")) == key


def test_a_workflow_that_failed_with_409_says_so(site: Site) -> None:
    """Its own conflict is not mistaken for another run."""
    key = str(uuid.uuid4())
    for _ in range(2):
        outcome = site.call(RUN, b'{"fail": 409}', key=key)
        assert isinstance(outcome, Failed)
        assert (outcome.status, outcome.message) == (409, "refused")


def test_a_workflow_without_a_key_has_the_idempotency_key(site: Site) -> None:
    """Or a random one; callers who are told apart have runs of their own."""
    key = str(uuid.uuid4())
    assert body(site.call(RUN, idempotency_key=key))[0] == key
    own = body(site.call(RUN, idempotency_key=key, identity=b"ann"))[0]
    assert own == body(site.call(RUN, idempotency_key=key, identity=b"ann"))[0] != key
    assert body(site.call(RUN))[0] != body(site.call(RUN))[0]


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=0"])
def test_a_client_may_come_back_for_the_result(site: Site, prefer: str) -> None:
    """202 with the address, at once; the address answers 202 while it runs, then as the call would have."""
    gate = str(uuid.uuid4())
    accepted = site.call(PLACE, json.dumps({"gate": gate}).encode(), prefer=prefer, root_path="/v1/")
    token = token_of(accepted)
    assert isinstance(accepted, Accepted)
    assert accepted.location == f"/v1/restate/results/{token}"
    assert accepted.content == {"invocation_id": accepted.invocation_id, "status": "accepted"}
    assert accepted.headers["preference-applied"] == prefer
    assert accepted.headers["x-durably-invocation-id"] == accepted.invocation_id
    polled = site.poll(token, root_path="/v1")
    assert isinstance(polled, Accepted)
    assert (polled.invocation_id, polled.location, polled.status) == (
        accepted.invocation_id,
        accepted.location,
        "running",
    )
    assert polled.headers["retry-after"] == "1"
    gates[gate].set()
    done = site.poll(token, "wait=10")
    assert body(done)["order"] == {"gate": gate}
    again = site.poll(token)
    assert body(again) == body(done)
    assert again.headers == {"x-durably-invocation-id": accepted.invocation_id}
    assert runs == [gate]


def test_a_failure_can_be_polled(site: Site) -> None:
    """It is told as the call would have, a 404 of the handler too."""
    for code, message in ((402, "no stock"), (404, "not found")):
        payload = json.dumps({"fail": code, "message": message}).encode()
        outcome = site.poll(token_of(site.call(PLACE, payload, prefer="respond-async")), "wait=10")
        assert isinstance(outcome, Failed)
        assert (outcome.status, outcome.message, outcome.is_of_handler) == (code, message, True)
        assert outcome.handler is PLACE


def test_waiting_for_a_time(site: Site) -> None:
    """The result if it comes in time, else 202; and what was followed is told."""
    outcome = site.call(PLACE, b'{"n": 1}', prefer="wait=10")
    assert body(outcome)["order"] == {"n": 1}
    assert isinstance(outcome, Done)
    assert outcome.headers["preference-applied"] == "wait=10"
    gate = str(uuid.uuid4())
    accepted = site.call(PLACE, json.dumps({"gate": gate}).encode(), prefer="respond-async, wait=1")
    assert isinstance(accepted, Accepted)
    assert accepted.headers["preference-applied"] == "respond-async, wait=1"
    assert isinstance(site.poll(token_of(accepted)), Accepted)
    gates[gate].set()
    assert body(site.poll(token_of(accepted), "wait=10"))["order"] == {"gate": gate}


def test_a_failure_in_time_is_told_at_once(site: Site) -> None:
    """Waiting for a time is no reason for a 202."""
    outcome = site.call(PLACE, b'{"fail": 418}', prefer="wait=10")
    assert isinstance(outcome, Failed)
    assert outcome.status == 418


def test_coming_back_with_a_key(site: Site) -> None:
    """Idempotent calls, objects and workflows have addresses, too; a repeated call has the same one."""
    key = str(uuid.uuid4())
    for handler, how in ((PLACE, {"idempotency_key": key}), (ADD, {"key": key}), (RUN, {"key": key}), (RUN, {})):
        token = token_of(site.call(handler, prefer="respond-async", **how))
        outcome = site.poll(token, "wait=10")
        assert isinstance(outcome, Done)
        assert outcome.handler is handler
    tokens = {token_of(site.call(PLACE, prefer="respond-async", idempotency_key=key)) for _ in range(2)}
    assert len(tokens) == 1
    assert body(site.call(RUN, key=key, prefer="wait=10"))[0] == key


def test_unknown_and_forged_results_look_alike(site: Site) -> None:
    """One answer for what was never there, was deleted, or is not the asker's, with or without waiting."""
    real = token_of(site.call(PLACE, prefer="respond-async"))
    unknown = site.link.facts.tokens.make(
        "inv_1l97nhzRgSmC4nyJDlMi2zUi3J8CL5lPFp", "Shop", "place", key=None, idempotency_key=None
    )
    assert unknown is not None
    answers = [
        site.poll(token, prefer)
        for token in (unknown, f"{real}x", real[:-1], real.replace("place", "other"), "nonsense", "")
        for prefer in (None, "wait=1")
    ]
    assert all(answer == Failed(404, "There is no such result.") for answer in answers), answers


def test_an_invocation_can_be_asked_for_by_its_idempotency_key(site: Site) -> None:
    """Keys that need encoding in a path are found as well."""
    key = f"a/b:%2F{uuid.uuid4()}"
    asked = IdempotentRequest("Cart", "add", key, "k/1")
    made, waited, looked = site.ask(
        lambda client: client.generic_invoke("Cart", "add", b"{}", "k/1", key),
        lambda client: client.generic_attach(asked),
        lambda client: client.generic_output(asked),
    )
    assert made == waited == looked
