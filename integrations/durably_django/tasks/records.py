"""The row of a task: from what was enqueued to a result, and each change of its state.

Owns the changes, in transactions of their own, and the signals that tell of them. Each may be repeated after a crash,
and then changes nothing more.

| state | change | to |
|---|---|---|
| (none) | `store` | READY |
| READY, RUNNING | `begin`: an attempt starts, or starts again after a crash | RUNNING |
| RUNNING | `finish` with a value | SUCCESSFUL |
| RUNNING | `finish` with an error, attempts left | READY |
| RUNNING | `finish` with an error, none left | FAILED |
"""

from __future__ import annotations

import copy
import logging
import os
import socket
from datetime import timedelta
from threading import Lock
from time import monotonic
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from durably_django.tasks.execution import Outcome, from_json, to_json
from durably_django.tasks.framework import (
    InvalidTask,
    TaskError,
    TaskResult,
    TaskResultStatus,
    task_finished,
    task_started,
)
from durably_django.tasks.messages import Message, find_task
from durably_django.tasks.models import TaskRecord
from durably_django.tasks.options import TaskOptions

__all__ = ["RecordedError", "begin", "find", "finish", "store", "to_result", "worker_id"]

_CLEANING_S: Final = 60.0  # between two rounds of removing old results, in each process
_BATCH: Final = 500

_logger = logging.getLogger("durably.django.tasks")


class RecordedError(Exception):
    """Stands for an exception of which only the recorded traceback is left; its text is that traceback."""


def store(result: TaskResult[..., Any], database: str) -> None:
    """Write the row of a task that is being enqueued.

    Raises:
        ValueError: An argument is a number that JSON has not.
    """
    task = result.task
    TaskRecord(
        id=result.id,
        backend=result.backend,
        task=task.module_path,
        queue_name=task.queue_name,
        run_after=task.run_after,
        arguments=to_json({"args": result.args, "kwargs": result.kwargs}),
        status=result.status.value,
        enqueued_at=result.enqueued_at,
    ).save(using=database, force_insert=True)


def find(result_id: str, alias: str, options: TaskOptions) -> TaskRecord | None:
    """Look for a row of a backend; None where there is none, or its time is over."""
    row = TaskRecord.objects.using(options.database).filter(pk=result_id, backend=alias).first()
    if row is None or (row.finished_at is not None and _is_over(row, options)):
        return None
    return row


def _is_over(row: TaskRecord, options: TaskOptions) -> bool:
    if row.finished_at is None or options.retention is None:
        return False
    return row.finished_at + options.retention < timezone.now()


def to_result(row: TaskRecord) -> TaskResult[..., Any]:
    """Give the result as Django shows it.

    Raises:
        InvalidTask: The task is not there any more.
    """
    # Not with `using`, which would refuse a queue that has been removed since.
    task = copy.copy(find_task(row.task))
    for name, value in (("backend", row.backend), ("queue_name", row.queue_name), ("run_after", row.run_after)):
        object.__setattr__(task, name, value)
    arguments = from_json(row.arguments)
    result: TaskResult[..., Any] = TaskResult(
        task=task,
        id=row.id,
        status=TaskResultStatus(row.status),
        enqueued_at=row.enqueued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        last_attempted_at=row.last_attempted_at,
        args=arguments["args"],
        kwargs=arguments["kwargs"],
        backend=row.backend,
        errors=[TaskError(**each) for each in from_json(row.errors)],
        worker_ids=from_json(row.worker_ids),
    )
    object.__setattr__(result, "_return_value", from_json(row.return_value))
    return result


def worker_id() -> str:
    """Name this process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


def begin(message: Message, options: TaskOptions, sender: type[Any]) -> TaskRecord | None:
    """Note that an attempt starts; None where it must not: the row is gone, or the attempt is over."""
    with transaction.atomic(using=options.database):
        row = _locked(message, options)
        if row is None:
            _logger.warning("Task %s %s has no row any more; it is not run.", message.task, message.id)
            return None
        if row.is_finished or row.failed_attempts >= message.number:
            return None
        now = timezone.now()
        row.status = TaskRecord.Status.RUNNING
        row.started_at = row.started_at or now
        row.last_attempted_at = now
        row.worker_ids = to_json([*from_json(row.worker_ids), worker_id()])
        row.save(using=options.database, update_fields=["status", "started_at", "last_attempted_at", "worker_ids"])
    _tell(task_started, row, sender)
    return row


def finish(
    message: Message, outcome: Outcome, options: TaskOptions, sender: type[Any], error: BaseException | None
) -> timedelta | None:
    """Note what came of an attempt; gives the pause before the next, None where there is none.

    Args:
        message: What asked for the attempt.
        outcome: Of it.
        options: Of the backend.
        sender: Of the signals.
        error: The exception behind the outcome, if this process has it.
    """
    has_next = bool(outcome.error_class) and not outcome.is_final and message.number < options.max_attempts
    pause = options.pause_after(message.number) if has_next else None
    with transaction.atomic(using=options.database):
        row = _locked(message, options)
        if row is None:
            return None
        if row.is_finished or row.failed_attempts >= message.number:
            return pause  # noted before a crash
        _note(row, message, outcome, has_next=has_next)
        row.save(using=options.database)
    if pause is not None:
        text = "Task %s %s failed, attempt %d of %d; the next is in %s.\n%s"
        _logger.warning(text, row.task, row.id, message.number, options.max_attempts, pause, outcome.traceback)
        return pause
    _tell_end(row, outcome, sender, error)
    _clean(row.backend, options)
    return None


def _note(row: TaskRecord, message: Message, outcome: Outcome, *, has_next: bool) -> None:
    if outcome.error_class:
        known = {"exception_class_path": outcome.error_class, "traceback": outcome.traceback}
        row.errors = to_json([*from_json(row.errors), known])
        row.failed_attempts = message.number
        row.status = TaskRecord.Status.READY if has_next else TaskRecord.Status.FAILED
    else:
        row.return_value = outcome.return_value
        row.status = TaskRecord.Status.SUCCESSFUL
    if not has_next:
        row.finished_at = timezone.now()


def _locked(message: Message, options: TaskOptions) -> TaskRecord | None:
    """Give the row, for this transaction alone.

    The first statement writes: where SQLite begins transactions as readers, one that writes later may not wait.
    """
    rows = TaskRecord.objects.using(options.database).filter(pk=message.id)
    return rows.get() if rows.update(backend=F("backend")) else None


def _tell_end(row: TaskRecord, outcome: Outcome, sender: type[Any], error: BaseException | None) -> None:
    if not outcome.error_class:
        _tell(task_finished, row, sender)
        return
    try:
        raise error or RecordedError(outcome.traceback)
    except BaseException:  # receivers log the exception that is being handled
        _tell(task_finished, row, sender)


def _tell(signal: Any, row: TaskRecord, sender: type[Any]) -> None:
    """Send a signal; what a receiver raises is logged by Django, and harms no task."""
    try:
        result = to_result(row)
    except InvalidTask as gone:
        _logger.error("Task %s is %s: %s", row.id, row.status, gone)
        return
    signal.send_robust(sender=sender, task_result=result)


_cleaned_s: Final[dict[str, float]] = {}
_cleaning: Final = Lock()


def _clean(alias: str, options: TaskOptions) -> None:
    """Remove results whose time is over, now and then."""
    if options.retention is None:
        return
    with _cleaning:
        if monotonic() - _cleaned_s.get(alias, -_CLEANING_S) < _CLEANING_S:
            return
        _cleaned_s[alias] = monotonic()
    rows = TaskRecord.objects.using(options.database)
    old = rows.filter(backend=alias, finished_at__lt=timezone.now() - options.retention)
    ids = list(old.values_list("pk", flat=True)[:_BATCH])
    rows.filter(pk__in=ids).delete()
