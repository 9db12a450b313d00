"""What is wrong with a task backend's settings, or with a task, is said where it is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from durably import Context, ObjectContext, SyncContext
from durably_django.runtime import runtime
from durably_django.tasks import DurablyBackend
from durably_django.tasks.framework import InvalidTask, task_backends
from durably_django.tasks.options import TaskOptions, read_options
from durably_django.tasks.services import service_of
from tests.django.project.shop import tasks


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("max_attempt", 3, "is no option. Options are: database, max_attempts"),
        ("max_attempts", 0, "must be a number from 1, not 0"),
        ("max_attempts", True, "must be a number from 1, not True"),
        ("first_pause", 5, "must be a timedelta of zero or more, not 5"),
        ("longest_pause", timedelta(seconds=-1), "must be a timedelta of zero or more"),
        ("retention", timedelta(0), "must be a timedelta above zero, or None"),
        ("timeout", None, "must be a timedelta above zero"),
        ("database", 1, "must be the alias of a database"),
    ],
)
def test_options_that_cannot_work_are_named(option: str, value: Any, expected: str):
    """An unknown name, a wrong type and a bound that is passed are refused when the backend is made."""
    with pytest.raises(ImproperlyConfigured) as raised:
        DurablyBackend("mail", {"OPTIONS": {option: value}})
    assert f"TASKS['mail']['OPTIONS'][{option!r}]" in str(raised.value)
    assert expected in str(raised.value)


def test_pauses_double_up_to_their_bound():
    """The pause after an attempt depends on its number alone."""
    options = read_options("mail", {"first_pause": timedelta(seconds=2), "longest_pause": timedelta(seconds=10)})
    assert [options.pause_after(number).total_seconds() for number in (1, 2, 3, 4, 4000)] == [2, 4, 8, 10, 10]
    assert TaskOptions().pause_after(1) == timedelta(seconds=1)


def test_the_project_passes_its_checks():
    """Backends that can work are reported as such."""
    found = [problem.id for alias in task_backends for problem in task_backends[alias].check()]
    assert found == ["durably.W101", "durably.W101"], "only that the engine is in memory"


def test_each_backend_has_its_service():
    """Its name tells the backend, whatever characters that has; an execution may take as long as the options say."""
    served = {alias: service_of(alias, TaskOptions()).service for alias in ("default", "retrying")}
    assert [service.name for service in served.values()] == ["django_tasks_default", "django_tasks_retrying"]
    assert served["default"].options.abort_timeout == timedelta(days=1)
    assert service_of("default", TaskOptions()).service is runtime.endpoint.services["django_tasks_default"]


def test_checks_say_what_is_missing():
    """A database that there is not, an application that is not installed and an engine in memory are found."""
    backend = DurablyBackend("mail", {"OPTIONS": {"database": "archive"}})
    with override_settings(DURABLY={"URL": "sqlite:///x.db"}):
        assert [problem.id for problem in backend.check()] == ["durably.E102"]
    with override_settings(DURABLY={"URL": "memory://"}, DEBUG=False):
        assert "durably.W101" in [problem.id for problem in backend.check()]
    with override_settings(INSTALLED_APPS=["durably_django"], DURABLY={"URL": "sqlite:///x.db"}):
        (first, _) = backend.check()
        assert (first.id, "durably_django.tasks" in first.msg) == ("durably.E101", True)
        with pytest.raises(ImproperlyConfigured, match=r"durably_django\.tasks in INSTALLED_APPS"):
            task_backends["default"].enqueue(tasks.add, [1], {})


def test_priorities_are_refused():
    """The runtime cannot keep them, and says so instead of dropping them."""
    with pytest.raises(InvalidTask, match="priority"):
        tasks.add.using(priority=1)


def object_context(ctx: ObjectContext) -> None:
    """Take the context of something else."""


def blocking(ctx: Context) -> None:
    """Take the context of the other colour."""


async def awaiting(ctx: SyncContext) -> None:
    """Take the context of the other colour."""


def both(context: SyncContext) -> None:
    """Take one parameter for two contexts."""


def positional(ctx: SyncContext, /) -> None:
    """Take a context that has no name."""


@pytest.mark.parametrize(
    ("function", "takes_context", "expected"),
    [
        (object_context, False, "def takes SyncContext"),
        (blocking, False, "annotated as Context; a task that is def takes SyncContext"),
        (awaiting, False, "async def takes Context"),
        (both, True, "Django's context, not durably's"),
        (positional, False, "positional-only"),
    ],
)
def test_contexts_that_cannot_work_are_refused(function: Callable[..., Any], takes_context: bool, expected: str):
    """A task that could never get its durable context is refused by the decorator."""
    with pytest.raises(InvalidTask, match=expected):
        DurablyBackend.task_class(
            func=function, priority=0, backend="default", queue_name="default", run_after=None,
            takes_context=takes_context,
        )  # fmt: skip


def test_a_task_that_cannot_be_found_again_is_refused():
    """What is not there under its own name could not be run later, so it is not enqueued."""
    hidden = DurablyBackend.task_class(
        func=object_named_otherwise, priority=0, backend="default", queue_name="default", run_after=None
    )
    with pytest.raises(InvalidTask, match="not a task"):
        hidden.enqueue()


def object_named_otherwise() -> None:
    """Stand where a task is looked for."""
