"""Commands that ask a runtime: the same tests on a real server, on an engine with open ports, and on its file."""

from __future__ import annotations

import pytest

from durably.operations.invocations import INVOCATION_FIELDS
from tests.cli.conftest import Place, Run, eventually


def waiting(on: Run) -> str:
    """Send an invocation that waits for a day, and give its id once it does."""
    sent = on("send", "Orders/wait", "--json")
    assert sent.code == 0, sent.err
    invocation_id: str = sent.json["invocation_id"]
    # A server that streams suspends it after a minute only: until then it runs.
    eventually(lambda: on("journal", "show", invocation_id, "--json").json["entries"][1:])
    return invocation_id


def status(on: Run, invocation_id: str) -> str:
    """Give the status of an invocation."""
    return on("invocations", "show", invocation_id, "--json").json["status"]


def result(on: Run, invocation_id: str) -> str | None:
    """Give what an invocation came to, once it has ended."""
    return on("invocations", "show", invocation_id, "--json").json["completion_result"]


def test_services(on: Run):
    """Services are listed with kind, revision and handlers; as JSON too."""
    listed = on("services", "--json").json
    assert [(each["name"], each["type"]) for each in listed] == [("Carts", "VirtualObject"), ("Orders", "Service")]
    assert {handler["name"] for handler in listed[1]["handlers"]} == {"place", "refuse", "wait", "fail", "nothing"}
    assert set(listed[0]) == {"name", "type", "revision", "deployment_id", "public", "handlers"}
    shown = on("services")
    assert shown.code == 0
    assert "Carts" in shown.out
    assert "place" in shown.out


def test_deployments(on: Run):
    """Deployments are listed with their address, mode and services."""
    [deployment] = on("deployments", "--json").json
    fields = {"id", "uri", "protocol_type", "http_version", "created_at", "sdk_version", "services"}
    assert set(deployment) == fields
    assert {service["name"] for service in deployment["services"]} == {"Carts", "Orders"}
    assert deployment["id"] in on("deployments").out


def test_calling(on: Run):
    """A call writes its result as JSON and nothing else; a handler's failure is one line and exit code 1."""
    called = on("call", "Orders/place", '"mug"')
    assert (called.code, called.json) == (0, "charged mug")
    nothing = on("call", "Orders/nothing")
    assert (nothing.code, nothing.out) == (0, "")
    failed = on("call", "Orders/refuse")
    assert failed.code == 1
    assert failed.err.startswith("durably: [402] card declined")
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("key", ["a/b?c#d", "..", "é ü", "100%"])
def test_keys_arrive_as_they_are(on: Run, key: str):
    """Whatever a key consists of, the call, the list and the state mean the same object."""
    before = on("state", "get", "Carts", key, "--json").json
    assert on("call", "Carts/add", "2", "--key", key).json == before.get("count", 0) + 2
    listed = on("invocations", "list", "--key", key, "--json").json
    assert {each["target_service_key"] for each in listed} == {key}
    assert on("state", "get", "Carts", key, "count").json == before.get("count", 0) + 2


def test_sending_twice(on: Run, place: Place):
    """A send gives the id; with the same idempotency key it is the same invocation."""
    first = on("send", "Orders/place", '"cup"', "--idempotency-key", f"once-{place.name}", "--json").json
    again = on("send", "Orders/place", '"cup"', "--idempotency-key", f"once-{place.name}", "--json").json
    assert first["invocation_id"] == again["invocation_id"]
    assert again["is_new"] is False


def test_sending_later(on: Run, place: Place):
    """A delayed send is scheduled; it is listed as such, and can be killed."""
    sent = on("send", "Orders/place", '"cup"', "--delay", "2h").out.strip()
    row = eventually(lambda: on("invocations", "list", "--status", "scheduled", "--json").json)[0]
    assert row["id"] == sent
    assert place.name == "server" or row["scheduled_start_at"] is not None  # which a real server does not tell
    assert on("invocations", "kill", sent, "--yes").code == 0


def test_listing(on: Run):
    """Filters are combined; each row has the documented fields, the newest first."""
    for sku in ("one", "two"):
        on("call", "Orders/place", f'"{sku}"')
    rows = on(
        "invocations", "list", "--service", "Orders", "--handler", "place", "--status", "completed", "--json"
    ).json
    assert len(rows) >= 2
    assert all(tuple(row) == INVOCATION_FIELDS for row in rows)
    assert [row["created_at"] for row in rows] == sorted((row["created_at"] for row in rows), reverse=True)
    assert len(on("invocations", "list", "--limit", "1", "--json").json) == 1
    none = on("invocations", "list", "--service", "it's none")
    assert (none.code, none.out) == (0, "")


def test_showing_what_is_not_there(on: Run):
    """What does not exist is exit code 4, and a message."""
    unknown = "inv_1dvhMnqEScOB4ESqjN1udacNisqUuE9QrL"
    for command in (("invocations", "show"), ("journal", "show")):
        shown = on(*command, unknown)
        assert (shown.code, shown.out) == (4, "")
        assert unknown in shown.err
    assert on("invocations", "cancel", unknown, "--yes").code == 4
    assert on("call", "Nowhere/at", "1").code == 4
    assert on("state", "get", "Carts", "nobody", "count").code == 4


def test_the_time_line(on: Run):
    """The journal shows input, step, call and output with results, each with its duration."""
    on("call", "Orders/place", '"plate"')
    [row] = on("invocations", "list", "--handler", "place", "--limit", "1", "--json").json
    shown = on("journal", "show", row["id"], "--json").json
    entries = shown["entries"]
    assert [entry["kind"] for entry in entries] == ["input", "run", "call", "output"]
    assert entries[0]["result"] == '"plate"'
    assert entries[1]["what"] == "run 'charge'"
    assert entries[1]["result"] == '"charged plate"'
    assert entries[1]["took_ms"] is not None
    assert entries[2]["what"].startswith("call Carts/ada/add as inv_")
    assert not any(entry["is_open"] for entry in entries)
    text = on("journal", "show", row["id"]).out
    assert "run 'charge'" in text
    assert "success after" in text


def test_the_time_line_of_a_failure(on: Run):
    """A failed step and the failed output say why."""
    on("call", "Orders/refuse")
    [row] = on("invocations", "list", "--handler", "refuse", "--limit", "1", "--json").json
    assert row["completion_result"] == "failure"
    entries = on("journal", "show", row["id"], "--json").json["entries"]
    assert [entry["failure"] for entry in entries] == [None, "[402] card declined", "[402] card declined"]
    assert "failed: [402] card declined" in on("journal", "show", row["id"]).out


def test_what_is_tried_again(on: Run):
    """An invocation that fails and is retried says why, in the list and in its time line."""
    sent = on("send", "Orders/fail").out.strip()
    rows = eventually(lambda: on("invocations", "list", "--status", "backing-off", "--json").json)
    assert rows[0]["id"] == sent
    assert "the bank is closed" in rows[0]["last_failure"]
    eventually(lambda: "the bank is closed" in on("invocations", "list", "--handler", "fail").out)
    shown = on("journal", "show", sent).out
    assert "run 'prepare'" in shown
    assert "failed: " in shown
    assert "the bank is closed" in shown
    assert on("invocations", "kill", sent, "--yes").code == 0
    assert eventually(lambda: result(on, sent)) == "failure"


def test_a_sleep_is_open(on: Run):
    """What is waited for says until when, and that it waits."""
    invocation_id = waiting(on)
    entry = on("journal", "show", invocation_id, "--json").json["entries"][1]
    assert entry["what"].startswith("sleep until 20")
    assert entry["is_open"]
    assert "waits" in on("journal", "show", invocation_id).out
    on("invocations", "kill", invocation_id, "--yes")


def test_cancelling(on: Run):
    """A cancelled invocation ends; cancelling it again is refused with the reason and exit code 1."""
    invocation_id = waiting(on)
    assert on("invocations", "cancel", invocation_id, "--yes").code == 0
    assert eventually(lambda: result(on, invocation_id)) == "failure"
    again = on("invocations", "cancel", invocation_id, "--yes", "--json")
    assert again.code == 1
    assert again.json["failed"][0]["invocation_id"] == invocation_id


def test_pausing_and_resuming(on: Run):
    """A paused invocation stays where it is until it is resumed."""
    invocation_id = waiting(on)
    assert on("invocations", "pause", invocation_id).code == 0
    assert eventually(lambda: status(on, invocation_id) in ("paused", "suspended"))
    if status(on, invocation_id) == "paused":
        assert on("invocations", "resume", invocation_id).code == 0
        assert eventually(lambda: status(on, invocation_id) != "paused")
    on("invocations", "kill", invocation_id, "--yes")


def test_restarting_and_purging(on: Run):
    """A completed invocation runs again as a new one; a purged one is gone."""
    on("call", "Orders/place", '"bowl"')
    [row] = on("invocations", "list", "--handler", "place", "--limit", "1", "--json").json
    [pair] = on("invocations", "restart", row["id"], "--yes", "--json").json["succeeded"]
    assert pair["old_invocation_id"] == row["id"]
    assert eventually(lambda: result(on, pair["new_invocation_id"])) == "success"
    assert on("invocations", "purge", row["id"], "--yes").code == 0
    assert eventually(lambda: on("invocations", "show", row["id"]).code == 4)


def test_many_at_once(on: Run):
    """Filters choose many; they are done in batches, and those that were refused are told."""
    ids = {waiting(on) for _ in range(3)}
    killed = on("invocations", "kill", "--handler", "wait", "--status", "running", "--status", "suspended", "--yes")
    assert killed.code == 0
    assert ids <= set(killed.out.split())
    assert "Killed: 3" in killed.err
    assert all(eventually(lambda each=each: result(on, each)) == "failure" for each in ids)
    refused = on("invocations", "kill", *ids, "--yes", "--json")
    assert refused.code == 1
    assert len(refused.json["failed"]) == 3


def test_state(on: Run):
    """A value is set beside the others, read, cleared; all are cleared together."""
    key = "state's key"
    on("call", "Carts/add", "1", "--key", key)
    assert on("state", "set", "Carts", key, "note", '{"a": "ü"}', "--yes").code == 0
    eventually(lambda: on("state", "get", "Carts", key, "--json").json == {"count": 1, "note": {"a": "ü"}})
    assert "note" in on("state", "get", "Carts", key).out
    assert on("call", "Carts/add", "1", "--key", key).json == 2
    assert on("state", "clear", "Carts", key, "note", "--yes").code == 0
    eventually(lambda: on("state", "get", "Carts", key, "--json").json == {"count": 2})
    assert on("state", "clear", "Carts", key, "--yes").code == 0
    eventually(lambda: on("state", "get", "Carts", key, "--json").json == {})


def test_what_cannot_be_meant(on: Run):
    """Wrong arguments are exit code 2, before anything is asked."""
    for arguments in (
        ("call", "Orders"),
        ("call", "Orders/place", "no json"),
        ("call", "Orders/place", "@no-such-file"),
        ("send", "Orders/place", "1", "--delay", "soon"),
        ("call", "Orders/place", "1", "-H", "no colon"),
        ("invocations", "cancel"),
        ("invocations", "cancel", "inv_1", "--service", "Orders"),
        ("invocations", "cancel", "no id!", "--yes"),
        ("invocations", "list", "--status", "unheard-of"),
        ("state", "set", "Carts", "k", "n", "no json", "--yes"),
    ):
        outcome = on(*arguments)
        assert outcome.code == 2, arguments
        assert outcome.out == ""
        assert "Traceback" not in outcome.err


def test_the_doctor_of_a_runtime(on: Run, place: Place):
    """A runtime that works is well in every check."""
    findings = on("doctor", "--json")
    assert findings.code == 0
    checks = {each["check"]: each["verdict"] for each in findings.json}
    assert set(checks.values()) == {"ok"}
    assert set(checks) >= ({"file", "driver"} if place.name == "file" else {"server", "ingress"})
