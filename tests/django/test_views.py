"""Durable function views: what they see on attempts, and what their callers get."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.django.project.shop.models import Entry

MARK = uuid.UUID("12345678-1234-5678-1234-567812345678")


def test_a_view_sees_its_request_on_each_attempt(client: Client):
    """Values of the route keep their types, and the request its line, headers and body; the answer comes whole."""
    answer = client.post(
        f"/echo/7/{MARK}/?page=2&name=%C3%A9",
        data={"a": 1},
        content_type="application/json",
        headers={"X-Color": "blue"},
    )
    assert answer.status_code == 201, answer.content
    assert answer["X-Answer"] == "yes"
    assert answer["x-durably-invocation-id"].startswith("inv_")
    said = answer.json()
    assert said["number"] == 7
    assert said["mark"] == f"UUID {MARK}"
    assert said["method"] == "POST"
    assert said["path"] == f"/echo/7/{MARK}/?page=2&name=%C3%A9"
    assert said["uri"].startswith("http://testserver/echo/7/")
    assert json.loads(said["json"]) == {"a": 1}
    assert said["header"] == "blue"
    assert said["route"] == "echo/<int:number>/<uuid:mark>/"


def test_credentials_are_not_stored(client: Client):
    """Neither the Authorization header nor cookies reach an attempt, because they are not in the journal."""
    client.cookies["session"] = "secret"
    answer = client.post(f"/echo/7/{MARK}/", headers={"Authorization": "Bearer secret"})
    assert answer.json()["credentials"] == [None, None, {}]


def test_forms_and_files_are_there_on_attempts(client: Client):
    """A multipart form keeps fields and files, also after middleware has read it at the edge."""
    checking = Client(enforce_csrf_checks=True)
    checking.cookies["csrftoken"] = "a" * 32
    for each in (client, checking):
        file = SimpleUploadedFile("notes.txt", b"some notes", content_type="text/plain")
        data: dict[str, Any] = {"name": "Zoë", "csrfmiddlewaretoken": "a" * 32, "file": file}
        answer = each.post("/form/", data=data)
        assert answer.status_code == 200, answer.content
        assert answer.json()["fields"]["name"] == "Zoë"
        assert answer.json()["files"] == {"file": "some notes"}


def test_csrf_protects_durable_views(quick_client: Client):
    """A durable view is as protected as any: without a token a form is refused."""
    assert Client(enforce_csrf_checks=True).post("/form/", data={"name": "x"}).status_code == 403


@pytest.mark.parametrize(("how", "status"), [("missing", 404), ("denied", 403), ("suspicious", 400), ("bad", 400)])
def test_exceptions_of_django_keep_their_status(client: Client, how: str, status: int):
    """Http404 and its like end the invocation, and are answered as by a plain view."""
    answer = client.post(f"/fail/{how}/")
    plain = client.post(f"/plain/fail/{how}/")
    assert (answer.status_code, answer.content) == (status, plain.content)


def test_a_missing_field_is_a_bad_request(client: Client):
    """A form without a field has none on the next attempt either: it is refused, not tried again."""
    assert client.post("/fail/field/", data={"name": "ada"}).content == b"ada"
    answer = client.post("/fail/field/", data={"other": "ada"})
    assert answer.status_code == 400


def test_validation_errors_are_answered_with_their_messages(client: Client):
    """A ValidationError is a 400 that says what is wrong, field by field."""
    answer = client.post("/fail/invalid/")
    assert answer.status_code == 400
    assert answer.json() == {"detail": {"name": ["too long"]}}


def test_terminal_errors_keep_their_status(client: Client):
    """A TerminalError is answered with its status and text."""
    answer = client.post("/fail/terminal/")
    assert (answer.status_code, answer.json()) == (409, {"detail": "out of stock"})


@pytest.mark.parametrize("path", ["/steps/", "/async/"])
def test_steps_run_once(client: Client, path: str):
    """A step that stores a row runs once, however often the view is replayed; in both colours."""
    name = f"order{path.strip('/')}"
    assert client.post(f"{path}{name}/").json() == {"count": 1}
    assert Entry.objects.filter(text=name).count() == 1


def test_idempotency_key_gives_the_same_answer(quick_client: Client):
    """Calls with one key are one invocation."""
    headers = {"Idempotency-Key": "k1"}
    first = quick_client.post("/steps/idem/", headers=headers)
    second = quick_client.post("/steps/idem/", headers=headers)
    assert first["x-durably-invocation-id"] == second["x-durably-invocation-id"]
    assert Entry.objects.filter(text="idem").count() == 1


def test_a_result_can_be_fetched_later(quick_client: Client):
    """`respond-async` answers 202 with a location, where the answer is found; a made-up one is not found."""
    accepted = quick_client.post("/steps/later/", headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    location = accepted["Location"]
    assert location.startswith("/restate/results/")
    answer = quick_client.get(location, headers={"Prefer": "wait=10"})
    assert (answer.status_code, answer.json()) == (200, {"count": 1})
    assert quick_client.get("/restate/results/made-up").status_code == 404


def test_keys_make_virtual_objects_and_workflows(quick_client: Client):
    """Calls with one key share their state; a workflow runs once for its key."""
    assert quick_client.post("/add/red/").json() == {"key": "red", "count": 1}
    assert quick_client.post("/add/red/").json() == {"key": "red", "count": 2}
    assert quick_client.post("/add/blue/").json() == {"key": "blue", "count": 1}
    assert [quick_client.post("/publish/news/").json() for _ in range(2)] == [{"title": "news"}] * 2
    assert Entry.objects.filter(text="published news").count() == 1


def test_streams_and_cookies_are_refused(quick_client: Client):
    """What cannot be recorded, and what must not be, ends the invocation with a clear text."""
    stream = quick_client.post("/stream/")
    assert stream.status_code == 500
    assert "StreamingHttpResponse, which cannot be recorded" in stream.json()["detail"]
    assert "sets a cookie" in quick_client.post("/cookie/").json()["detail"]


def test_large_uploads_are_refused(quick_client: Client):
    """Files beyond the limit are answered with a 413 and never stored."""
    file = SimpleUploadedFile("big.bin", b"x" * (1024 * 1024 + 1))
    answer = quick_client.post("/form/", data={"file": file})
    assert answer.status_code == 413
    assert "takes 1048576" in answer.json()["detail"]
