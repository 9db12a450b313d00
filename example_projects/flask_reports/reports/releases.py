"""The release of a report: a workflow for each, which waits until an approver has decided.

Approvers are asked by mail, and asked again when they let it lie. The decision is a promise of the workflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select as rows

from durably import SyncWorkflowContext, SyncWorkflowSharedContext
from durably.sync import select
from reports.building import once, set_status
from reports.extensions import db, durably, post
from reports.models import Report, User

__all__ = ["Decision", "Release", "decide", "release", "releases"]


@dataclass(frozen=True)
class Release:
    """How a report is released."""

    remind_seconds: float


@dataclass(frozen=True)
class Decision:
    """What an approver said."""

    approved: bool
    by: str


releases = durably.workflow("releases")


@releases.main()
def release(ctx: SyncWorkflowContext, wish: Release) -> str:
    """Ask until somebody decides; gives the status of the report."""
    report_id, asked = ctx.key(), 0
    while True:
        asked += 1
        ctx.run_typed(f"ask {asked}", ask_approvers, report_id=report_id, times=asked)
        decision = ctx.start.promise("decision", type_hint=Decision).value()
        reminder = ctx.start.sleep(timedelta(seconds=wish.remind_seconds))
        which, answer = select(decided=decision, late=reminder)
        if which == "decided":
            break
    status = "released" if answer.approved else "refused"
    ctx.run_typed("decide", set_status, report_id=report_id, status=status)
    return status


@releases.handler()
def decide(ctx: SyncWorkflowSharedContext, decision: Decision) -> None:
    """Decide on a report, once: the second decision is a 409."""
    ctx.promise("decision", type_hint=Decision).resolve(decision)


def ask_approvers(report_id: str, times: int) -> None:
    """Mail all approvers but the report's owner."""
    report = db.session.get_one(Report, report_id)
    for user in db.session.scalars(rows(User).where(User.is_approver, User.id != report.owner_id)):
        post_to = {"to": user.email, "reference": f"ask-{report_id}-{user.id}-{times}"}
        post.send(**post_to, subject=f"Release {report.region} {report.month}?", text=report.text)
    once(report_id, f"ask {times}", report.month, lambda: None)
