"""Django's tasks on the durable backend: what `django.tasks` promises, with a runtime that runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import Client
from django.utils import timezone

from durably_django.models import OutboxMessage
from durably_django.runtime import runtime
from durably_django.tasks.framework import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from durably_django.tasks.models import TaskRecord
from tests.django.project.shop import tasks
from tests.django.project.shop.models import Entry

READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
FAILED, SUCCESSFUL = TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL


@pytest.fixture(autouse=True)
def clean(client: Client) -> None:
    """Start each test with no tasks and a runtime; in the second form each wait suspends."""
    OutboxMessage.objects.all().delete()
    TaskRecord.objects.all().delete()
    tasks.calls.clear()
    runtime.start()


@pytest.fixture
def signals() -> Iterator[list[tuple[str, str, str]]]:
    """Record which signals are sent: what, of which task, with which status."""
    seen: list[tuple[str, str, str]] = []
    sent = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}

    def connect(name: str) -> Callable[..., None]:
        def receive(sender: Any, task_result: Any, **_: Any) -> None:
            seen.append((name, task_result.task.name, str(task_result.status)))

        sent[name].connect(receive)
        return receive

    receivers = {name: connect(name) for name in sent}
    yield seen
    for name, receive in receivers.items():
        sent[name].disconnect(receive)


def until(condition: Callable[[], Any], bound_s: float = 10) -> Any:
    """Wait for a condition, and give its value."""
    deadline_s = time.monotonic() + bound_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)
    return value


def ended(result: Any) -> Any:
    """Wait for the end of a task."""

    def is_finished() -> bool:
        result.refresh()
        return result.is_finished

    until(is_finished)
    return result


def test_a_task_runs_and_its_result_is_kept():
    """`enqueue` gives a result that is READY; later it has the value, the times in order, and one worker."""
    result = tasks.add.enqueue(2, b=3)
    assert (result.status, result.is_finished, result.attempts, result.args) == (READY, False, 0, [2])
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    ended(result)
    assert (result.status, result.return_value, result.attempts, result.errors) == (SUCCESSFUL, 5, 1, [])
    times: list[Any] = [result.enqueued_at, result.started_at, result.finished_at]
    assert times == sorted(times)
    assert result.last_attempted_at == result.started_at
    assert tasks.add.get_result(result.id) == result


def test_a_task_that_awaits_runs_too():
    """`async def` tasks use Django's asynchronous interface; `aenqueue` and `aget_result` do what the others do."""

    async def enqueue() -> str:
        result = await tasks.add_async.aenqueue(4)
        assert (await tasks.add_async.aget_result(result.id)).task == tasks.add_async
        return result.id

    result = ended(tasks.add_async.get_result(async_to_sync(enqueue)()))
    assert (result.return_value, result.attempts) == (5, 1)
    assert Entry.objects.filter(text="sum 5").count() == 1


def test_queues_are_kept_and_checked():
    """A task keeps its queue; one that the backend does not have is refused."""
    result = tasks.report.enqueue("march")
    assert result.task.queue_name == "reports"
    assert ended(result).return_value == {"name": "march", "lines": [1, 2]}
    assert tasks.report.get_result(result.id).task == tasks.report
    with pytest.raises(InvalidTask, match="Queue 'attic'"):
        tasks.report.using(queue_name="attic")


def test_a_task_that_raises_has_failed(caplog: pytest.LogCaptureFixture):
    """Its exception is recorded with class and traceback, and logged once; it is not run again."""
    for task in (tasks.raising, tasks.raising_async):
        result = ended(task.enqueue("no such thing"))
        assert (result.status, result.attempts) == (FAILED, 1)
        with pytest.raises(ValueError, match="failed"):
            _ = result.return_value
        (error,) = result.errors
        assert error.exception_class is LookupError
        assert error.traceback.endswith("LookupError: no such thing\n")
        assert "shop/tasks.py" in error.traceback
        logged = until(
            lambda wanted=result.id: [
                each for each in caplog.records if wanted in each.getMessage() and each.levelno == logging.ERROR
            ]
        )
        assert len(logged) == 1
        assert "no such thing" in str(logged[0].exc_info[1]), "the exception, or after a suspension its traceback"


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (tasks.leaving, SystemExit),
        (tasks.interrupting, KeyboardInterrupt),
        (tasks.unwritable, TypeError),
        (tasks.endless, ValueError),
    ],
)
def test_what_cannot_be_a_result_is_a_failure(task: Any, error: type[BaseException]):
    """A task that leaves, or gives what JSON cannot say, has failed; the process goes on."""
    assert ended(task.enqueue()).errors[0].exception_class is error


def test_arguments_are_checked_when_they_are_given():
    """What JSON cannot say is refused by `enqueue`, and nothing is stored."""
    with pytest.raises(TypeError, match="Unsupported type"):
        tasks.add.enqueue(timezone.now())
    with pytest.raises(ValueError, match="not JSON compliant"):
        tasks.add.enqueue(float("inf"))
    assert not TaskRecord.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_awkward_text_travels(caplog: pytest.LogCaptureFixture):
    """Text that a column, or UTF-8, cannot hold comes back as it was, as argument, result and in an exception."""
    for logger in ("django.tasks", "django_tasks"):  # who reports on tests in several processes needs UTF-8
        caplog.set_level(logging.CRITICAL, logger=logger)
    awkward = {"\x00": ["\ud800", "ä\U0001f600", "", None, 1.5, {"a": [True]}]}
    result = ended(tasks.echo.enqueue(awkward))
    assert (result.return_value, result.args) == (awkward, [awkward])
    assert "\x00 \\ud800" in ended(tasks.raising.enqueue("\x00 \ud800")).errors[0].traceback


def test_a_task_leaves_with_its_transaction():
    """It does not start before the commit, and never when that is rolled back."""

    def enqueue_and_fail() -> str:
        with transaction.atomic():
            ids.append(tasks.attempts.enqueue("rolled back").id)
            raise ZeroDivisionError

    ids: list[str] = []
    with pytest.raises(ZeroDivisionError):
        enqueue_and_fail()
    with transaction.atomic():
        result = tasks.attempts.enqueue("committed")
        time.sleep(0.05)
        assert tasks.calls == []
    assert ended(result).return_value == [1, result.id, "RUNNING"]
    assert tasks.calls == [("committed", 1)]
    with pytest.raises(TaskResultDoesNotExist):
        tasks.attempts.get_result(ids[0])


def test_a_task_can_wait_for_its_time():
    """`run_after` is a durable timer: before it the task is READY; a time that is over runs at once."""
    tomorrow = tasks.add.using(run_after=timezone.now() + timedelta(days=1)).enqueue(0)
    due = timezone.now() + timedelta(milliseconds=300)
    later = tasks.add.using(run_after=due).enqueue(1)
    assert ended(tasks.add.using(run_after=timezone.now() - timedelta(days=1)).enqueue(2)).return_value == 3
    assert ended(later).started_at >= due
    assert tasks.add.get_result(later.id).task.run_after == due
    tomorrow.refresh()
    assert (tomorrow.status, tomorrow.attempts) == (READY, 0)


def test_failures_are_tried_again_where_options_say_so(caplog: pytest.LogCaptureFixture):
    """With `max_attempts` a task is READY between attempts, keeps all its errors, and knows which attempt it is."""
    retrying = tasks.attempts.using(backend="retrying")
    result = ended(retrying.enqueue("third time", fail_until=3))
    assert result.return_value[0] == 3
    assert [error.traceback.splitlines()[-1] for error in result.errors] == [
        "LookupError: attempt 1",
        "LookupError: attempt 2",
    ]
    assert tasks.calls == [("third time", 1), ("third time", 2), ("third time", 3)]
    assert caplog.text.count("of 3; the next is in") == 2
    lost = ended(retrying.enqueue("never", fail_until=9))
    assert (lost.status, lost.attempts, len(lost.errors)) == (FAILED, 3, 3)
    refused = ended(tasks.refusing.using(backend="retrying").enqueue("at once"))
    assert (refused.status, refused.attempts) == (FAILED, 1), "a TerminalError is final"


def test_a_task_can_ask_to_be_run_again():
    """`RetryableError` is no failure: the task is run again until it says something else."""
    result = ended(tasks.flickering.enqueue("on and off"))
    assert (result.return_value, result.attempts, result.errors) == (3, 3, [])


@pytest.mark.parametrize("task", [tasks.in_steps, tasks.in_steps_async])
def test_a_task_with_the_durable_context_takes_steps(task: Any):
    """Each step runs once, however often the task is called; to Django it is one attempt."""
    result = ended(task.enqueue(name="x"))
    assert result.return_value[:2] == ["first x", "second x"]
    assert result.attempts == 1
    assert [text for kind, text in tasks.calls if kind == "step"] == ["first x", "second x"]
    assert tasks.calls.count(("x", "attempt")) >= 1


def test_a_failure_after_a_step_is_a_failure():
    """The steps of a task do not change what an exception means."""
    result = ended(tasks.steps_then_failure.enqueue("y"))
    assert (result.status, result.errors[0].exception_class) == (FAILED, LookupError)
    twice = ended(tasks.steps_then_failure.using(backend="retrying").enqueue("z"))
    assert (twice.attempts, len(twice.errors)) == (3, 3)
    assert tasks.calls.count(("step", "first z")) == 3, "each attempt begins with an empty journal"


def test_a_cancelled_task_has_failed():
    """Cancelling the invocation of a task that waits ends it as FAILED."""
    result = tasks.waits.enqueue("nobody")
    entry = until(lambda: Entry.objects.filter(text__startswith="asked nobody").first())
    result.refresh()
    assert result.status == RUNNING
    runtime.link.sync_client().cancel(entry.text.split()[2])
    ended(result)
    assert (result.status, result.errors[0].exception_class.__name__) == (FAILED, "InvocationCancelledError")


@pytest.mark.parametrize("task", [tasks.holding, tasks.holding_async])
def test_a_task_that_is_cancelled_while_it_runs_has_failed(task: Any):
    """Its code is not interrupted in a thread; once it has ended, what it gave does not count."""
    tasks.let_go.clear()
    result = task.enqueue()
    (invocation_id,) = until(lambda: list(tasks.calls))
    runtime.link.sync_client().cancel(invocation_id)
    tasks.let_go.set()
    ended(result)
    assert (result.status, result.errors[0].exception_class.__name__) == (FAILED, "InvocationCancelledError")
    assert result.attempts == 1


def test_signals_tell_of_each_change(signals: list[tuple[str, str, str]]):
    """Enqueued, started and finished are sent once each, with the status of then; a receiver cannot harm a task."""

    def harm(**_: Any) -> None:
        raise RuntimeError("receiver")

    task_started.connect(harm)
    try:
        ended(tasks.add.enqueue(1))
        ended(tasks.raising_async.enqueue("x"))
        until(lambda: len(signals) == 6)
    finally:
        task_started.disconnect(harm)
    assert signals == [
        ("enqueued", "add", "READY"),
        ("started", "add", "RUNNING"),
        ("finished", "add", "SUCCESSFUL"),
        ("enqueued", "raising_async", "READY"),
        ("started", "raising_async", "RUNNING"),
        ("finished", "raising_async", "FAILED"),
    ]


def test_results_belong_to_their_backend():
    """An unknown id, and one of another backend, are not found."""
    result = tasks.add.using(backend="retrying").enqueue(1)
    assert task_backends["retrying"].get_result(result.id).backend == "retrying"
    for unknown in (result.id, "123"):
        with pytest.raises(TaskResultDoesNotExist):
            task_backends["default"].get_result(unknown)


def test_results_go_when_their_time_is_over():
    """A result that is older than `retention` is not found, and a later task removes its row."""
    result = ended(tasks.add.enqueue(1))
    TaskRecord.objects.filter(pk=result.id).update(finished_at=timezone.now() - timedelta(days=8))
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)
    from durably_django.tasks import records

    records._cleaned_s.clear()
    ended(tasks.add.enqueue(2))
    until(lambda: not TaskRecord.objects.filter(pk=result.id).exists())


def test_a_task_that_is_gone_has_failed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """A task that a deploy removed while it waited is FAILED, with a word that says so."""
    later = tasks.add.using(run_after=timezone.now() + timedelta(milliseconds=100)).enqueue(1)
    monkeypatch.delattr(tasks, "add")
    row = until(lambda: TaskRecord.objects.filter(pk=later.id, status="FAILED").first())
    assert "tests.django.project.shop.tasks.add" in row.errors
    with pytest.raises(InvalidTask, match=r"shop\.tasks\.add"):
        task_backends["default"].get_result(later.id)
    assert later.id in until(lambda: caplog.text if "InvalidTask" in caplog.text or later.id in caplog.text else "")


def test_no_connection_is_held_by_a_task_that_waits():
    """Tasks use the database as handlers do: connections are closed around attempts and steps."""
    assert ended(tasks.counts_connections.enqueue()).return_value is True
    result = tasks.waits.enqueue("somebody")
    entry = until(lambda: Entry.objects.filter(text__startswith="asked somebody").first())
    runtime.link.sync_client().resolve_awakeable(entry.text.split()[-1], "yes")
    assert ended(result).return_value == "yes"
