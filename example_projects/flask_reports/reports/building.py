"""The steps in which a report is built.

Each does its work in one transaction, with a row that says so. When a process dies after the commit and before the
step is recorded, the step comes again, finds the row, and leaves everything as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from flask import render_template
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from reports.extensions import db
from reports.models import DoneStep, Report, Sale

__all__ = ["NoSalesError", "collect", "compare", "drop", "once", "open_report", "set_status", "write"]


class NoSalesError(Exception):
    """There is nothing to report. The application answers it with a 404, so it is not tried again."""


def once(subject: str, name: str, about: str, work: Callable[[], None]) -> None:
    """Do `work` and commit, unless this step has committed before."""
    try:
        db.session.add(DoneStep(subject=subject, name=name, about=about, process=os.getpid()))
        db.session.flush()
    except IntegrityError:  # also when the same step is still under way in a process that was taken for dead
        db.session.rollback()
        db.session.get_one(DoneStep, (subject, name)).repeats += 1
    else:
        work()
    db.session.commit()


def open_report(report_id: str, *, owner_id: int, month: str, region: str) -> None:
    """Put an empty report into the list."""
    report = Report(id=report_id, owner_id=owner_id, month=month, region=region)
    once(report_id, "open", f"{region} {month}", lambda: db.session.add(report))


def collect(report_id: str) -> int:
    """Add up the sales of the month.

    Raises:
        NoSalesError: There are none.
    """
    report = db.session.get_one(Report, report_id)
    cents = _sales(report.region, report.month)
    if cents is None:
        raise NoSalesError(f"no sales in {report.region} in {report.month}")
    once(report_id, "collect", str(cents), lambda: setattr(report, "cents", cents))
    return cents


def compare(report_id: str) -> int:
    """Add up the sales of the month before."""
    report = db.session.get_one(Report, report_id)
    year, month = map(int, report.month.split("-"))
    before = f"{year - 1}-12" if month == 1 else f"{year}-{month - 1:02}"
    cents = _sales(report.region, before) or 0
    once(report_id, "compare", str(cents), lambda: setattr(report, "cents_before", cents))
    return cents


def write(report_id: str) -> dict[str, object]:
    """Write the text; the report waits to be released then."""
    report = db.session.get_one(Report, report_id)

    def work() -> None:
        report.text = render_template("report.txt", report=report)
        report.status = "waiting"

    once(report_id, "write", report.month, work)
    return report.as_dict()


def drop(report_id: str) -> None:
    """Take a report from the list that could not be built."""
    remove = delete(Report).where(Report.id == report_id)
    once(report_id, "drop", "", lambda: db.session.execute(remove) and None)


def set_status(report_id: str, status: str) -> None:
    """Note what was decided."""
    report = db.session.get_one(Report, report_id)
    once(report_id, "decide", status, lambda: setattr(report, "status", status))


def _sales(region: str, month: str) -> int | None:
    return db.session.scalar(select(func.sum(Sale.cents)).where(Sale.region == region, Sale.month == month))
