"""The same handlers in the test kit: on a clock that jumps, and with a crash at every entry of every journal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from durably.client import WorkflowRun
from durably.testing import blocking_test_harness
from durably_flask.testing import stored_request
from reports.extensions import db, durably, post
from reports.mailings import Plan, start, stop
from reports.models import DoneStep, Report, Subscription, User
from reports.releases import Decision, decide
from reports.views import build

Mails = dict[str, tuple[str, str]]
MAY = {"month": "2026-05", "region": "north"}
DAY_S = 24 * 3600.0


@pytest.fixture
def people(app: Flask, empty_tables: Callable[[], None]) -> Callable[[], None]:
    """Give what puts an analyst, an approver and a subscription into an empty database."""

    def again() -> None:
        empty_tables()
        with app.app_context():
            ada = User(id=1, name="ada", email="ada@home.example", password_hash="")
            cleo = User(id=2, name="cleo", email="cleo@home.example", password_hash="", is_approver=True)
            db.session.add_all([ada, cleo, Subscription(id="s", user=ada, region="north")])
            db.session.commit()

    return again


def may(app: Flask) -> Any:
    """Give ada's request for a report."""
    return stored_request(app, "/reports", method="POST", json=MAY, identity={"id": 1, "name": "ada"})


def status_of(app: Flask, report_id: str) -> str:
    """Give what has become of a report."""
    with app.app_context():
        return db.session.get_one(Report, report_id).status


def test_approvers_are_reminded(app: Flask, people: Callable[[], None], mails: Mails):
    """Every day that passes without a decision brings them another mail, until there is one."""
    people()
    with blocking_test_harness(durably, skip_time=True) as harness:
        report = harness.client.call(build, may(app))
        harness.settle()
        for _ in range(3):
            harness.advance(timedelta(days=1))
        harness.settle()
        assert [name for name in mails if name.startswith("ask-")] == [f"ask-{report['id']}-2-{n}" for n in range(1, 5)]
        harness.client.workflow_call(decide, key=report["id"], arg=Decision(True, "cleo"))
        assert harness.client.attach(WorkflowRun("releases", report["id"])) == "released"
    assert status_of(app, report["id"]) == "released"


def test_a_month_of_mailings(app: Flask, people: Callable[[], None], mails: Mails):
    """A subscription sends itself on, day by day; what is released on the third day is mailed on the next, once."""
    people()
    with blocking_test_harness(durably, skip_time=True) as harness:
        harness.client.object_call(start, key="s", arg=Plan(DAY_S))
        report = harness.client.call(build, may(app))
        harness.settle()
        assert mails.keys() == {f"ask-{report['id']}-2-1"}
        with app.app_context():
            db.session.execute(update(Report).values(status="released"))
            db.session.commit()
        for _ in range(28):
            harness.advance(timedelta(days=1))
        harness.settle()
        assert mails[f"report-s-{report['id']}"] == ("north 2026-05", "ada@home.example")
        assert harness.state_of("mailings", "s").all()["mailed"] == [report["id"]]
        harness.client.object_call(stop, key="s", arg=None)


@pytest.mark.durably(crash_everywhere=True)
def test_a_crash_anywhere(
    app: Flask,
    people: Callable[[], None],
    durably_harness: Any,
    durably_effects: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    """Wherever the process dies, the report is built, released and mailed, with each step and each mail once."""
    people()

    def send(*, to: str, subject: str, text: str, reference: str) -> None:
        durably_effects.record("mail", to, subject, key=reference)

    monkeypatch.setattr(post, "send", send)
    with durably_harness(durably) as harness:
        report = harness.client.call(build, may(app))
        harness.settle()
        harness.client.workflow_call(decide, key=report["id"], arg=Decision(True, "cleo"))
        assert harness.client.attach(WorkflowRun("releases", report["id"])) == "released"
        harness.client.object_call(start, key="s", arg=Plan(DAY_S))
        harness.client.object_call(stop, key="s", arg=None)
    assert status_of(app, report["id"]) == "released"
    with app.app_context():
        done = set(db.session.scalars(select(DoneStep.name).where(DoneStep.subject == report["id"])))
    assert done == {"open", "collect", "compare", "write", "ask 1", "decide"}
    assert {effect.key for effect in durably_effects.named("mail")} == {
        f"ask-{report['id']}-2-1",
        f"report-s-{report['id']}",
    }
