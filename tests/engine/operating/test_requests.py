"""What a server owes to those who call it: idempotency, attaching, awakeables, privacy; on both kinds."""

from __future__ import annotations

import http.client
import json
import random
import threading

import pytest

from tests.engine.operating.sites import JSON, Site

NOT_READY = 470


@pytest.mark.parametrize("target", [("Tools", "echo"), ("Cell", "KEY", "put")], ids=["service", "object"])
def test_idempotent_calls_run_once(site: Site, target: tuple[str, ...]) -> None:
    """A repeated call with one idempotency key gives the first one's result, from the same invocation."""
    key = site.key()
    path = "/" + "/".join(part.replace("KEY", key) for part in target)
    headers = JSON | {"idempotency-key": site.key()}
    first = site.ingress.request("POST", path, b'"once"', headers)
    second = site.ingress.request("POST", path, b'"twice"', headers)
    assert first.status == second.status == 200
    assert first.body == second.body
    assert first.headers["x-restate-id"] == second.headers["x-restate-id"]
    if target[0] == "Cell":
        assert site.ingress.call("Cell", key, "look") == "once"


def test_idempotent_send_is_accepted_once(site: Site) -> None:
    """A repeated send is accepted as the invocation that it made before."""
    headers = JSON | {"idempotency-key": site.key()}
    answers = [site.ingress.request("POST", "/Tools/echo/send", b'"x"', headers) for _ in range(2)]
    assert [answer.status for answer in answers] in ([202, 202], [202, 200])
    first, second = (answer.value() for answer in answers)
    assert (first["status"], second["status"]) == ("Accepted", "PreviouslyAccepted")
    assert first["invocationId"] == second["invocationId"]


def test_idempotency_expires(site: Site) -> None:
    """After its retention an idempotency key is free again and the handler runs again."""
    headers = JSON | {"idempotency-key": site.key()}
    first = site.ingress.request("POST", "/Tools/forgetful", b'"x"', headers)
    assert site.ingress.request("POST", "/Tools/forgetful", b'"x"', headers).body == first.body
    again = site.poll(
        lambda: site.ingress.request("POST", "/Tools/forgetful", b'"x"', headers),
        until=lambda answer: answer.body != first.body,
        what="the key has expired",
    )
    assert again.status == 200


def test_attach_waits_and_output_does_not(site: Site) -> None:
    """Before the end `output` is 470 and `attach` waits; after it both give the result."""
    key = site.key()
    invocation = site.send("Cell", key, "across_versions")
    path = f"/restate/invocation/{invocation}"
    assert site.ingress.request("GET", f"{path}/output").status == NOT_READY
    attached: list[object] = []
    waiting = threading.Thread(target=lambda: attached.append(site.ingress.attach(invocation)))
    waiting.start()
    word = site.awakeable(f"{key}-id")
    assert not attached
    assert site.complete(word, "resolve", b'"go"') == 202
    waiting.join(20)
    assert attached == [["v1", "go", "v1", "v1"]]
    assert site.ingress.request("GET", f"{path}/output").value() == attached[0]


def test_awakeables_are_completed_over_http(site: Site) -> None:
    """Resolving gives the handler the value, rejecting raises the reason in it."""
    for how, body, content_type in (("resolve", b'"word"', "application/json"), ("reject", b"no word", "text/plain")):
        key = site.key()
        invocation = site.send("Cell", key, "across_versions")
        assert site.complete(site.awakeable(f"{key}-id"), how, body, content_type) == 202
        answer = site.ingress.request("GET", f"/restate/invocation/{invocation}/attach")
        if how == "resolve":
            assert answer.value()[1] == "word"
        else:
            assert answer.status == 500
            assert answer.value()["message"] == "no word"


def test_private_handlers_are_for_handlers(site: Site) -> None:
    """The ingress refuses a private service; another handler may call it; an operator can open it."""
    assert site.ingress.raw("Private", "whisper", body=b'"HUSH"', headers=JSON).status == 400
    assert site.ingress.call("Tools", "use_private", argument="HUSH") == "hush"
    assert site.admin.request("PATCH", "/services/Private", json.dumps({"public": True}).encode(), JSON).status == 200
    answer = site.poll(
        lambda: site.ingress.raw("Private", "whisper", body=b'"HUSH"', headers=JSON),
        until=lambda found: found.status == 200,
        what="the service is public",
    )
    assert answer.value() == "hush"
    assert site.admin.request("PATCH", "/services/Private", json.dumps({"public": False}).encode(), JSON).status == 200


def test_workflow_runs_once(site: Site) -> None:
    """A second call of the run handler is refused, a second send is the first one; promise, attach and output work."""
    key = site.key()
    path = f"/Errand/{key}/run"
    first = site.ingress.request("POST", f"{path}/send", b'"ready"', JSON)
    second = site.ingress.request("POST", f"{path}/send", b'"ready"', JSON)
    assert first.value()["invocationId"] == second.value()["invocationId"]
    assert second.value()["status"] == "PreviouslyAccepted"
    refused = site.ingress.request("POST", path, b'"ready"', JSON)
    assert (refused.status, refused.value()["message"]) == (409, "the workflow method was already invoked")
    site.ingress.call("Errand", key, "go", argument="steady")
    assert site.ingress.workflow("Errand", key, "attach") == "ready steady"
    assert site.ingress.workflow("Errand", key, "output") == "ready steady"


def test_accepted_completions_survive_crashes(own_site: Site) -> None:
    """Each awakeable whose completion was accepted completes its invocation though the engine dies all the time."""
    site = own_site
    keys = [site.key() for _ in range(30)]
    invocations = {key: site.send("Cell", key, "across_versions", headers={"idempotency-key": key}) for key in keys}
    words = {key: site.awakeable(f"{key}-id") for key in keys}
    for number, (key, word) in enumerate(words.items()):
        killing = threading.Thread(target=site.crash_server, args=(random.Random(number).uniform(0, 0.01),))
        if number % 6 == 3:
            killing.start()
        site.poll(
            lambda word=word, key=key: site.complete(word, "resolve", json.dumps(key).encode()),
            until=lambda status: status == 202,
            what="the completion is accepted",
        )
        if number % 6 == 3:
            killing.join()
    for key, invocation in invocations.items():
        answer = site.poll(lambda invocation=invocation: site.ingress.attach(invocation), what=f"{key} completes")
        assert answer == ["v1", key, "v1", "v1"]
    assert site.ingress.request("GET", "/restate/health").status == http.client.OK
