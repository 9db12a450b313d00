"""The engine and the real server are asked the same things and must answer the same.

Owns the comparison: statuses, bodies, the headers that clients rely on, and the kinds of journal entries. Ids and texts
that are the servers' own words are left out.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.suite.clients import Answer
from tests.engine.operating.sites import JSON, Site

HEADERS = ("content-type", "x-restate-error-source")
SEED = int(os.environ.get("DURABLY_CONFORMANCE_SEED", "7"))
REQUESTS = int(os.environ.get("DURABLY_CONFORMANCE_REQUESTS", "60"))
Request = tuple[str, str, bytes | None, Mapping[str, str]]
AWAKEABLE = "prom_1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
ASKED: dict[str, Request] = {
    "call": ("POST", "/Tools/echo", b'"hello"', JSON),
    "call on a path of its own": ("POST", "/restate/call/Tools/echo", b'"hello"', JSON),
    "call without a body": ("POST", "/Tools/version", None, {}),
    "call of an object": ("POST", "/Cell/one/put", b'"x"', JSON),
    "call with an odd key": ("POST", "/Cell/a%2Fb%20%C3%A9/put", b'"x"', JSON),
    "send": ("POST", "/Tools/echo/send", b'"hello"', JSON),
    "delayed send": ("POST", "/Tools/echo/send?delay=10ms", b'"hello"', JSON),
    "send with a bad delay": ("POST", "/Tools/echo/send?delay=soon", b'"hello"', JSON),
    "terminal failure": ("POST", "/Tools/fail", b'"no tea"', JSON),
    "body that is not JSON": ("POST", "/Tools/echo", b"{", JSON),
    "wrong content type": ("POST", "/Tools/echo", b"hello", {"content-type": "image/png"}),
    "no content type": ("POST", "/Tools/echo", b'"hello"', {}),
    "unexpected body": ("POST", "/Tools/version", b'"x"', JSON),
    "unknown service": ("POST", "/Nobody/echo", b'"x"', JSON),
    "unknown handler": ("POST", "/Tools/nothing", b'"x"', JSON),
    "object without a key": ("POST", "/Cell/put", b'"x"', JSON),
    "service with a key": ("POST", "/Tools/key/echo", b'"x"', JSON),
    "private service": ("POST", "/Private/whisper", b'"x"', JSON),
    "short path": ("POST", "/Tools", b'"x"', JSON),
    "get instead of post": ("GET", "/Tools/echo", None, {}),
    "output of nothing": ("GET", "/restate/invocation/Tools/echo/unknown/output", None, {}),
    "attach to a bad id": ("GET", "/restate/invocation/inv_bad/attach", None, {}),
    "output of an unknown workflow": ("GET", "/restate/workflow/Errand/unknown/output", None, {}),
    "attach to a workflow that is none": ("GET", "/restate/workflow/Tools/unknown/attach", None, {}),
    "bad awakeable": ("POST", "/restate/awakeables/nonsense/resolve", b'"x"', JSON),
    "awakeable of nobody": ("POST", f"/restate/awakeables/{AWAKEABLE}/resolve", b'"x"', JSON),
    "health": ("GET", "/restate/health", None, {}),
}
OPERATIONS = {
    "cancel": ("PATCH", "/invocations/ID/cancel"),
    "kill": ("PATCH", "/invocations/ID/kill"),
    "pause": ("PATCH", "/invocations/ID/pause"),
    "resume": ("PATCH", "/invocations/ID/resume"),
    "purge": ("PATCH", "/invocations/ID/purge"),
    "purge the journal": ("PATCH", "/invocations/ID/purge-journal"),
    "restart": ("PATCH", "/invocations/ID/restart-as-new"),
}
NOBODY = "inv_1gdJBtdVEcM919dOBhoVBm3fUMlaIHnANr"


def seen(answer: Answer) -> dict[str, Any]:
    """Give what must be the same everywhere."""
    found: dict[str, Any] = {"status": answer.status} | {name: answer.headers.get(name) for name in HEADERS}
    found["has id"] = "x-restate-id" in answer.headers
    try:
        body = json.loads(answer.body) if answer.body else None
    except ValueError:
        return found
    match body:
        case {"code": code, **rest}:
            wanted = {"source": rest.get("source"), "metadata": rest.get("metadata")}
            found |= {"code": code, **wanted}
            if wanted["source"] == "invocation":
                found["message"] = rest.get("message")
        case dict():
            found["fields"] = sorted(body)
        case _:
            found["body"] = body
    return found


@pytest.mark.parametrize("asked", ASKED, ids=lambda name: str(name).replace(" ", "-"))
def test_requests_are_answered_alike(both: tuple[Site, Site], asked: str) -> None:
    """Status, headers and body of the engine's answer are those of the real server's."""
    method, path, body, headers = ASKED[asked]
    engine, real = (seen(site.ingress.request(method, path, body, headers)) for site in both)
    assert engine == real


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda name: str(name).replace(" ", "-"))
@pytest.mark.parametrize("subject", ["nobody", "malformed", "completed", "waiting"])
def test_operations_are_answered_alike(both: tuple[Site, Site], operation: str, subject: str) -> None:
    """Operators get the same status from both servers in every phase of an invocation's life."""
    method, path = OPERATIONS[operation]

    def status(site: Site) -> int:
        invocation, key = NOBODY, site.key()
        if subject == "malformed":
            invocation = "inv_1"
        elif subject == "completed":
            invocation = site.send("Tools", "echo", argument="x", headers={"idempotency-key": key})
            site.poll(lambda: site.status(invocation), until=lambda found: found == "completed", what="it completes")
        elif subject == "waiting":
            invocation = site.send("Cell", key, "across_versions")
            site.awakeable(f"{key}-id")
        answer = site.admin.request(method, path.replace("ID", invocation))
        if subject == "waiting":
            site.admin.end(invocation, "kill")
        return answer.status

    engine, real = (status(site) for site in both)
    assert engine == real


def test_journals_are_alike(both: tuple[Site, Site]) -> None:
    """The engine stores the same entries in the same order for a handler that uses one of each."""
    journals: list[list[str]] = []
    for site in both:
        invocation = site.send(
            "Cell", site.key(), "every_kind", argument="hello", headers={"idempotency-key": site.key()}
        )
        assert site.ingress.attach(invocation) == "None hello stepped word"
        site.poll(lambda s=site, i=invocation: s.status(i), until=lambda found: found == "completed", what="it is over")
        journals.append(site.journal(invocation))
    engine, real = journals
    assert _commands(engine) == _commands(real)
    assert sorted(engine) == sorted(real)


def test_random_requests_are_answered_alike(both: tuple[Site, Site]) -> None:
    """A random sequence of calls, sends and repetitions has the same answers and leaves the same state."""
    rng = random.Random(SEED)
    keys, run = [f"k{number}-{rng.random()}" for number in range(4)], f"{rng.random()}"
    for number in range(REQUESTS):
        key, text = rng.choice(keys), rng.choice(["a", "b", "é", ""])
        path, body = rng.choice(
            [
                (f"/Cell/{key}/put", json.dumps(text).encode()),
                (f"/Cell/{key}/look", None),
                (f"/Cell/{key}/every_kind", json.dumps(text).encode()),
                ("/Tools/use_private", json.dumps(text.upper()).encode()),
                ("/Tools/fail", json.dumps(text).encode()),
                ("/Tools/nap", None),
                (f"/Errand/{key}/go", json.dumps(text).encode()),
                (f"/Errand/{key}/run", json.dumps(text).encode())
                if number > REQUESTS // 2
                else ("/Tools/version", None),
            ]
        )
        headers = dict(JSON) if body is not None else {}
        if rng.random() < 0.5 and not path.startswith("/Errand"):
            headers["idempotency-key"] = f"{run}-{rng.randrange(REQUESTS)}"
        if path.endswith("/run"):
            path += "/send"
        engine, real = (seen(site.ingress.request("POST", path, body, headers)) for site in both)
        assert engine == real, f"request {number} of seed {SEED}: {path} {body!r} {headers}"
    sql = "select service_key, key, value_utf8 from state where service_name = 'Cell' order by service_key, key"
    engine_state, real_state = ([row for row in site.admin.query(sql) if row["service_key"] in keys] for site in both)
    assert engine_state == real_state


def _commands(journal: list[str]) -> list[str]:
    return [entry for entry in journal if entry.startswith("Command")]
