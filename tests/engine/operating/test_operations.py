"""What a server owes to those who operate it: pausing, restarting, editing, retention, upgrades, on both kinds."""

from __future__ import annotations

import json

from tests.engine.operating.sites import JSON, Site


def test_completed_journal_is_kept(site: Site) -> None:
    """After completion the journal is the input, the sleep, its completion and the output."""
    invocation = site.send("Tools", "nap", headers={"idempotency-key": site.key()})
    assert site.ingress.attach(invocation) == "rested"
    wanted = ["Command: Input", "Command: Sleep", "Notification: Sleep", "Command: Output"]
    journal = site.poll(
        lambda: site.journal(invocation), until=lambda rows: len(rows) >= len(wanted), what="it is kept"
    )
    assert journal == wanted


def test_used_up_attempts_pause(site: Site) -> None:
    """When the attempts are used up the invocation pauses; resumed on its deployment it goes on."""
    site.mood.unlink(missing_ok=True)
    invocation = site.send("Moody", "work", argument="done", headers={"idempotency-key": site.key()})
    site.poll(lambda: site.status(invocation), until=lambda status: status == "paused", what="it pauses")
    site.mood.touch()
    try:
        assert site.operate(invocation, "resume").status in (200, 202)
        assert site.ingress.attach(invocation) == "done by v1"
    finally:
        site.mood.unlink()


def test_paused_invocation_resumes_on_another_deployment(site: Site) -> None:
    """A paused invocation that is resumed on the latest deployment runs there."""
    site.mood.unlink(missing_ok=True)
    invocation = site.send("Moody", "work", argument="done", headers={"idempotency-key": site.key()})
    site.poll(lambda: site.status(invocation), until=lambda status: status == "paused", what="it pauses")
    site.register("v2")
    try:
        assert site.operate(invocation, "resume?deployment=latest").status in (200, 202)
        assert site.ingress.attach(invocation) == "done by v2"
    finally:
        site.register("v1")


def test_running_invocation_pauses_and_resumes(site: Site) -> None:
    """An invocation that waits is paused by an operator and finishes after it is resumed."""
    key = site.key()
    invocation = site.send("Cell", key, "across_versions", headers={"idempotency-key": site.key()})
    word = site.awakeable(f"{key}-id")
    assert site.operate(invocation, "pause").status in (200, 202)
    site.poll(lambda: site.status(invocation), until=lambda status: status == "paused", what="it pauses")
    assert site.complete(word, "resolve", b'"go"') == 202
    assert site.operate(invocation, "resume").status in (200, 202)
    assert site.ingress.attach(invocation) == ["v1", "go", "v1", "v1"]


def test_restart_as_new(site: Site) -> None:
    """Restarted from the beginning the step runs again; from after the step its recorded result is kept."""
    site.mood.unlink(missing_ok=True)
    invocation = site.send("Cell", site.key(), "marked_step", argument="x", headers={"idempotency-key": site.key()})
    assert site.ingress.attach(invocation) == ["old", "old"]
    site.poll(lambda: site.status(invocation), until=lambda status: status == "completed", what="it is completed")
    site.mood.touch()
    try:
        results: dict[str, object] = {}
        for query in ("restart-as-new", "restart-as-new?from=1"):
            answer = site.operate(invocation, query)
            assert answer.status in (200, 201, 202), answer
            results[query] = site.ingress.attach(answer.value()["new_invocation_id"])
    finally:
        site.mood.unlink()
    assert results == {"restart-as-new": ["new", "new"], "restart-as-new?from=1": ["old", "new"]}


def test_patched_state_is_seen(site: Site) -> None:
    """State that an operator writes is what the next call reads."""
    key = site.key()
    site.ingress.call("Cell", key, "put", argument="mine")
    edit = {"object_key": key, "new_state": {"content": list(b'"theirs"')}}
    answer = site.admin.request("POST", "/services/Cell/state", json.dumps(edit).encode(), JSON)
    assert answer.status == 202, answer
    found = site.poll(
        lambda: site.ingress.call("Cell", key, "look"), until=lambda text: text == "theirs", what="the state is written"
    )
    assert found == "theirs"


def test_open_invocation_stays_on_its_deployment(site: Site) -> None:
    """After an upgrade new invocations run on the new version, open ones go on with the one that they began on."""
    key = site.key()
    invocation = site.send("Cell", key, "across_versions", headers={"idempotency-key": site.key()})
    word = site.awakeable(f"{key}-id")
    site.register("v2")
    try:
        assert site.poll(
            lambda: site.ingress.call("Tools", "version"),
            until=lambda version: version == "v2",
            what="v2 is the latest",
        )
        assert site.complete(word, "resolve", b'"unlocked"') == 202
        assert site.ingress.attach(invocation) == ["v1", "unlocked", "v2", "v1"]
    finally:
        site.register("v1")


def test_purged_invocation_is_gone(site: Site) -> None:
    """Purging takes a completed invocation away; its idempotency key is free."""
    headers = JSON | {"idempotency-key": site.key()}
    first = site.ingress.request("POST", "/Tools/forgetful", b'"x"', headers)
    invocation = first.headers["x-restate-id"]
    site.poll(lambda: site.status(invocation), until=lambda status: status in ("completed", None), what="it completed")
    assert site.operate(invocation, "purge").status in (200, 202)
    site.poll(lambda: site.status(invocation), until=lambda status: status is None, what="it is gone")
    assert site.ingress.request("POST", "/Tools/forgetful", b'"x"', headers).body != first.body


def test_killed_and_cancelled_invocations_answer(site: Site) -> None:
    """Who attached to an invocation that is cancelled or killed gets a 409, and its key is free."""
    for how in ("cancel", "kill"):
        key = site.key()
        invocation = site.send("Cell", key, "across_versions", headers={"idempotency-key": site.key()})
        site.awakeable(f"{key}-id")
        assert site.admin.end(invocation, how) in (200, 202)
        answer = site.ingress.request("GET", f"/restate/invocation/{invocation}/attach")
        assert answer.status == 409, answer
        assert site.ingress.call("Cell", key, "put", argument="free") is None
        assert site.admin.end(invocation, how) in (404, 409)


def test_openapi_describes_the_handlers(site: Site) -> None:
    """The generated document is OpenAPI and has a path for each public handler."""
    answer = site.admin.request("GET", "/services/Cell/openapi")
    assert answer.status == 200
    assert "/restate/call/Cell/{key}/put" in answer.value()["paths"]
