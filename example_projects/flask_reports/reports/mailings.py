"""Mails on a schedule: a virtual object for each subscription, which sends a message to its own future.

What it has to remember, it keeps as state: which round it is in, and what was mailed. A round ends when a subscription
ends; the message that is still on its way finds that out when it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from durably import SyncObjectContext
from reports.extensions import db, durably, post
from reports.models import Report, Subscription

__all__ = ["Plan", "Tick", "mail", "mailings", "start", "stop"]


@dataclass(frozen=True)
class Plan:
    """How often, beginning when."""

    every_seconds: float


@dataclass(frozen=True)
class Tick:
    """A mailing that is due."""

    round: int
    due: float
    every_seconds: float


mailings = durably.object("mailings")


@mailings.handler()
def start(ctx: SyncObjectContext, plan: Plan) -> None:
    """Begin a round; the first mailing is due at once."""
    number = (ctx.get("round", type_hint=int) or 0) + 1
    ctx.set("round", number)
    ctx.set("runs", True)
    ctx.object_send(mail, key=ctx.key(), arg=Tick(number, ctx.time(), plan.every_seconds))


@mailings.handler()
def mail(ctx: SyncObjectContext, tick: Tick) -> None:
    """Mail what was released since the last time, each report once, and schedule the next mailing."""
    if ctx.get("round", type_hint=int) != tick.round or not ctx.get("runs", type_hint=bool):
        return
    mailed = ctx.get("mailed", type_hint=list[str]) or []
    found = ctx.run_typed("look", released, subscription_id=ctx.key())
    for report_id in found:
        if report_id not in mailed:
            ctx.run_typed(f"mail {report_id}", mail_report, subscription_id=ctx.key(), report_id=report_id)
            mailed = [*mailed, report_id]
            ctx.set("mailed", mailed)
    now, due = ctx.time(), tick.due + tick.every_seconds
    while due <= now:  # nobody wants the mailings of a week in which nothing ran
        due += tick.every_seconds
    ctx.object_send(
        mail, key=ctx.key(), arg=Tick(tick.round, due, tick.every_seconds), send_delay=timedelta(seconds=due - now)
    )


@mailings.handler()
def stop(ctx: SyncObjectContext) -> None:
    """End the round."""
    ctx.clear("runs")


def released(subscription_id: str) -> list[str]:
    """Give the reports that the subscription is about."""
    region = db.session.get_one(Subscription, subscription_id).region
    wanted = select(Report.id).where(Report.region == region, Report.status == "released").order_by(Report.id)
    return list(db.session.scalars(wanted))


def mail_report(subscription_id: str, report_id: str) -> None:
    """Mail one report; the mail server knows it again by its reference."""
    subscription = db.session.get_one(Subscription, subscription_id)
    report = db.session.get_one(Report, report_id)
    subject = f"{report.region} {report.month}"
    reference = f"report-{subscription_id}-{report_id}"
    post.send(to=subscription.user.email, subject=subject, text=report.text, reference=reference)
