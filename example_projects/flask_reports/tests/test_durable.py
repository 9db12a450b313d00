"""What durability adds: steps that happen once, an approval that is waited for, mails on a schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from reports.extensions import db
from reports.models import DoneStep

Mails = dict[str, tuple[str, str]]
MAY = {"month": "2026-05", "region": "north"}


def eventually(ask: Callable[[], Any]) -> Any:
    """Ask until the answer is something."""
    deadline = time.monotonic() + 10
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found
    return found


def steps(app: Flask, report_id: str) -> dict[str, int]:
    """Give the steps that a report has behind it, with how often each came again."""
    with app.app_context():
        rows = db.session.scalars(select(DoneStep).where(DoneStep.subject == report_id))
        return {row.name: row.repeats for row in rows}


def build(client: FlaskClient, **headers: str) -> Any:
    """Have a report built."""
    return client.post("/reports", json=MAY, headers=headers)


def test_a_report_is_built_in_steps(app: Flask, ada: FlaskClient):
    """Each step is done once, and the answer is the view's, with its status and its headers."""
    answer = build(ada)
    assert answer.status_code == 201
    report = answer.get_json()
    assert (report["status"], report["region"]) == ("waiting", "north")
    assert f"Sales of north in 2026-05: {report['cents'] / 100:.2f}" in report["text"]
    assert ada.get(answer.headers["Location"]).get_json()["cents"] == report["cents"]
    assert {"open": 0, "collect": 0, "compare": 0, "write": 0}.items() <= steps(app, report["id"]).items()


def test_a_report_sent_twice_is_one_report(ada: FlaskClient, cleo: FlaskClient):
    """The same idempotency key of the same user gives the same report, and of another user another one."""
    first, again, other = build(ada, **{"idempotency-key": "1"}), build(ada, **{"idempotency-key": "1"}), build(cleo)
    assert first.get_json() == again.get_json()
    assert other.get_json()["id"] != first.get_json()["id"]
    assert len(ada.get("/reports").get_json()) == 2


def test_a_report_can_be_fetched_later(ada: FlaskClient):
    """Asked to answer at once, the application gives the place where the report will be."""
    taken = build(ada, prefer="respond-async")
    assert taken.status_code == 202

    def result() -> Any:
        answer = ada.get(taken.headers["Location"])
        return answer if answer.status_code != 202 else None

    assert eventually(result).status_code == 201


def test_a_month_without_sales(app: Flask, ada: FlaskClient):
    """What the application answers with a 404 is not tried again, and the view has taken its report back."""
    answer = ada.post("/reports", json={"month": "1999-01", "region": "north"})
    assert (answer.status_code, answer.get_json()) == (404, {"error": "no sales in north in 1999-01"})
    assert ada.get("/reports").get_json() == []
    assert ada.post("/reports", json={"month": "1999-13", "region": "north"}).status_code == 422


def test_a_report_is_released(ada: FlaskClient, cleo: FlaskClient, mails: Mails):
    """Approvers are mailed; the first decision counts, and the second one is refused."""
    report_id = build(ada).get_json()["id"]
    eventually(lambda: mails)
    assert list(mails.values()) == [("Release north 2026-05?", "cleo@home.example")]
    path = f"/reports/{report_id}/decision"
    assert cleo.post(path, json={"approved": True}).status_code == 202
    eventually(lambda: ada.get(f"/reports/{report_id}").get_json()["status"] == "released")
    assert cleo.post(path, json={"approved": False}).status_code == 409


def test_a_report_is_refused(ada: FlaskClient, cleo: FlaskClient):
    """A report that was refused is not released."""
    report_id = build(ada).get_json()["id"]
    assert cleo.post(f"/reports/{report_id}/decision", json={"approved": False}).status_code == 202
    eventually(lambda: ada.get(f"/reports/{report_id}").get_json()["status"] == "refused")


def test_subscribers_get_what_is_released(ada: FlaskClient, cleo: FlaskClient, mails: Mails):
    """Each released report of the region is mailed once, however often the mailing comes; until they have enough."""
    wanted = {"region": "north", "every_seconds": 0.02}
    subscription = ada.post("/subscriptions", json=wanted).get_json()["id"]
    report_id = build(ada).get_json()["id"]
    cleo.post(f"/reports/{report_id}/decision", json={"approved": True})
    eventually(lambda: f"report-{subscription}-{report_id}" in mails)
    assert mails[f"report-{subscription}-{report_id}"] == ("north 2026-05", "ada@home.example")
    assert cleo.delete(f"/subscriptions/{subscription}").status_code == 404
    assert ada.delete(f"/subscriptions/{subscription}").status_code == 204
