"""The views. Building a report is a durable one; the others are plain, and talk to what is durable by its client."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, current_app, g, request, url_for
from sqlalchemy import select

from durably import HttpError, SyncContext, TerminalError
from durably_flask import identity
from reports import building
from reports.auth import approver_required, login_required
from reports.extensions import db, durably
from reports.mailings import Plan, start, stop
from reports.models import Report, Subscription
from reports.releases import Decision, Release, decide, release

__all__ = ["bp"]

bp = Blueprint("reports", __name__)


@bp.post("/reports")
@login_required
@durably.endpoint(service="reports")
def build(ctx: SyncContext) -> Any:
    """Build a report, and hand it to those who release it."""
    wanted = request.get_json()
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", str(wanted.get("month"))) or not wanted.get("region"):
        abort(422, "a report has a month, as 2026-05, and a region")
    report_id = ctx.uuid().hex[:12]  # the same on each attempt
    ctx.run_typed(
        "open",
        building.open_report,
        report_id=report_id,
        owner_id=identity["id"],
        month=wanted["month"],
        region=wanted["region"],
    )
    ctx.sleep(timedelta(seconds=current_app.config["SETTLE_SECONDS"]))
    try:
        ctx.run_typed("collect", building.collect, report_id=report_id)
    except TerminalError:
        ctx.run_typed("drop", building.drop, report_id=report_id)
        raise
    ctx.run_typed("compare", building.compare, report_id=report_id)
    report = ctx.run_typed("write", building.write, report_id=report_id)
    ctx.workflow_send(release, key=report_id, arg=Release(current_app.config["REMIND_SECONDS"]))
    return report, 201, {"Location": url_for("reports.show", report_id=report_id)}


@bp.app_errorhandler(building.NoSalesError)
def no_sales(error: building.NoSalesError) -> Any:
    """Answer what can never be built."""
    return {"error": str(error)}, 404


@bp.get("/reports")
@login_required
def index() -> Any:
    """List all reports."""
    return [report.as_dict() for report in db.session.scalars(select(Report).order_by(Report.month, Report.id))]


@bp.get("/reports/<report_id>")
@login_required
def show(report_id: str) -> Any:
    """Show one report."""
    return db.get_or_404(Report, report_id).as_dict()


@bp.post("/reports/<report_id>/decision")
@approver_required
def decide_on(report_id: str) -> Any:
    """Release a report of somebody else, or refuse it."""
    report = db.get_or_404(Report, report_id)
    if report.owner_id == g.user.id:
        abort(403, "somebody else has to look at it")
    if report.status == "building":
        abort(409, "it is not ready")
    decision = Decision(bool(request.get_json()["approved"]), g.user.name)
    try:
        durably.client.workflow_call(decide, key=report_id, arg=decision)
    except HttpError as error:
        abort(error.status_code, error.message)
    return {"approved": decision.approved}, 202


@bp.post("/subscriptions")
@login_required
def subscribe() -> Any:
    """Have the released reports of a region mailed."""
    wanted = request.get_json()
    subscription = Subscription(id=uuid.uuid4().hex[:12], user_id=g.user.id, region=str(wanted["region"]))
    db.session.add(subscription)
    db.session.commit()
    durably.client.object_call(start, key=subscription.id, arg=Plan(float(wanted["every_seconds"])))
    return {"id": subscription.id}, 201


@bp.delete("/subscriptions/<subscription_id>")
@login_required
def unsubscribe(subscription_id: str) -> Any:
    """Have no more mails."""
    subscription = db.get_or_404(Subscription, subscription_id)
    if subscription.user_id != g.user.id:
        abort(404)
    durably.client.object_call(stop, key=subscription_id, arg=None)
    db.session.delete(subscription)
    db.session.commit()
    return "", 204
