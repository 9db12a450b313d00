"""The row of a task: each change of its state may be repeated after a crash, and then changes nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from durably_django.outbox.relay import relay
from durably_django.tasks import DurablyBackend, records
from durably_django.tasks.execution import Outcome, failed
from durably_django.tasks.framework import TaskResult, TaskResultStatus, task_finished, task_started
from durably_django.tasks.messages import Message
from durably_django.tasks.models import TaskRecord
from durably_django.tasks.options import TaskOptions
from tests.django.project.shop import tasks

OPTIONS = TaskOptions(max_attempts=2, first_pause=timedelta(seconds=3))
ERROR = LookupError("no such thing")


@pytest.fixture
def message(tables: None) -> Iterator[Message]:
    """Give the message of a task that nothing runs."""
    relay.stop()
    TaskRecord.objects.all().delete()
    result: TaskResult[..., Any] = TaskResult(
        task=tasks.add,
        id="a-task",
        status=TaskResultStatus.READY,
        enqueued_at=timezone.now(),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=[1],
        kwargs={},
        backend="default",
        errors=[],
        worker_ids=[],
    )
    records.store(result, "default")
    yield Message("a-task", tasks.add.module_path)
    TaskRecord.objects.all().delete()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Record the signals, as the status of their task."""
    seen: list[str] = []

    def receive(task_result: Any, **_: Any) -> None:
        seen.append(str(task_result.status))

    for signal in (task_started, task_finished):
        signal.connect(receive)
    yield seen
    for signal in (task_started, task_finished):
        signal.disconnect(receive)


def finish(message: Message, outcome: Outcome) -> timedelta | None:
    """Note an outcome."""
    return records.finish(message, outcome, OPTIONS, DurablyBackend, None)


def row() -> TaskRecord:
    """Read the row."""
    return TaskRecord.objects.get()


def test_an_attempt_that_starts_again_counts_again(message: Message):
    """After a crash the attempt begins anew: one more worker, the same first start."""
    first = records.begin(message, OPTIONS, DurablyBackend)
    second = records.begin(message, OPTIONS, DurablyBackend)
    assert first is not None
    assert second is not None
    assert second.started_at == first.started_at
    assert first.last_attempted_at is not None
    assert second.last_attempted_at is not None
    assert second.last_attempted_at > first.last_attempted_at
    assert records.to_result(row()).worker_ids == [records.worker_id()] * 2


def test_a_success_is_noted_once(message: Message, told: list[str]):
    """What is noted twice stays as it was first noted, with one signal; the attempt is not made again."""
    records.begin(message, OPTIONS, DurablyBackend)
    assert finish(message, Outcome("2")) is None
    ended = row().finished_at
    assert finish(message, Outcome("3")) is None
    assert finish(message, failed(ERROR)) == timedelta(seconds=3), "the journal may ask for a message that it has sent"
    assert (row().status, row().return_value, row().finished_at, row().errors) == ("SUCCESSFUL", "2", ended, "[]")
    assert records.begin(message, OPTIONS, DurablyBackend) is None
    assert told == ["RUNNING", "SUCCESSFUL"]


def test_a_failure_is_noted_once(message: Message, told: list[str]):
    """The pause before the next attempt is the same however often it is asked for, also when that one has begun."""
    records.begin(message, OPTIONS, DurablyBackend)
    assert [finish(message, failed(ERROR)) for _ in range(2)] == [timedelta(seconds=3)] * 2
    assert (row().status, row().failed_attempts, row().finished_at) == ("READY", 1, None)
    assert records.begin(message, OPTIONS, DurablyBackend) is None, "this attempt is over"
    second = Message(message.id, message.task, 2)
    assert records.begin(second, OPTIONS, DurablyBackend) is not None
    assert finish(message, failed(ERROR)) == timedelta(seconds=3)
    assert row().status == "RUNNING"
    assert [finish(second, failed(ERROR)) for _ in range(2)] == [None, None]
    result = records.to_result(row())
    assert (result.status, result.attempts, len(result.errors)) == ("FAILED", 2, 2)
    assert told == ["RUNNING", "RUNNING", "FAILED"]


def test_a_row_that_is_gone_is_not_missed(message: Message, caplog: pytest.LogCaptureFixture):
    """A task whose row somebody deleted is not run, and says so; an end that nobody waits for is dropped."""
    TaskRecord.objects.all().delete()
    assert records.begin(message, OPTIONS, DurablyBackend) is None
    assert "has no row any more" in caplog.text
    assert finish(message, failed(ERROR)) is None
