"""Runs the tests that a task framework has for its own backends against the durable one.

    python -m tools.django_task_tests                   Django's, out of the source release of the installed version
    python -m tools.django_task_tests --checkout DIR    those of django-tasks, out of a checkout of that project

Owns where they come from, what is replaced in them, and which do not apply (`NOT_APPLICABLE`, with the reason). Nothing
of them is kept: they are read into a temporary folder. Two backends stand in for the two that come with a framework:
one that only stores, as the dummy does, and one that waits for the end, as the immediate one does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import django
from django.conf import settings
from django.test.runner import DiscoverRunner

from durably_django.tasks.framework import PACKAGE, TaskResult, task_finished

NOT_APPLICABLE: Final[Mapping[str, str]] = {
    "TaskTestCase.test_using_priority": "priorities are refused: the runtime cannot keep them",
    "TaskTestCase.test_chained_using": "priorities are refused",
    "TaskTestCase.test_invalid_priority": "priorities are refused, all of them",
    "DummyBackendTestCase.test_refresh_result": "changes a result in the memory of the dummy backend",
    "DummyBackendTestCase.test_refresh_result_async": "changes a result in the memory of the dummy backend",
    "ImmediateBackendTestCase.test_cannot_get_result": "results can be looked up",
    "ImmediateBackendTestCase.test_get_result_from_different_request": "results can be looked up, from any request",
    "ImmediateBackendTestCase.test_cannot_refresh_result": "results can be refreshed",
    "ImmediateBackendTestCase.test_cannot_pass_run_after": "run_after is supported",
    "ImmediateBackendTestCase.test_throws_keyboard_interrupt": "the caller is another process than the task's",
    "ImmediateBackendTransactionTestCase.test_doesnt_wait_until_transaction_commit_by_default": (
        "a task leaves with its transaction, so that it cannot have run before the commit"
    ),
}
"""Tests that say what the durable backend does otherwise, and why."""

_STORING: Final = f"{__name__}.StoringBackend"
_WAITING: Final = f"{__name__}.WaitingBackend"
_MODULES: Final = ("test_tasks.py", "test_dummy_backend.py", "test_immediate_backend.py")
_BOUND_S: Final = 30.0


def configure(folder: Path) -> None:
    """Set up a project with its database in `folder`."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "db", "TEST": {"NAME": folder / "test-db"}}
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # their `async def` tests look up results as if they were in memory
    settings.configure(
        INSTALLED_APPS=["durably_django", "durably_django.tasks"],
        DATABASES={"default": database},
        DURABLY={"URL": f"sqlite:///{folder / 'engine.db'}"},
        TASKS={"default": {"BACKEND": _STORING, "QUEUES": []}, "immediate": {"BACKEND": _WAITING, "QUEUES": []}},
        ROOT_URLCONF="tests.urls" if PACKAGE == "django_tasks" else None,
        USE_TZ=True,
    )
    django.setup()


# The classes need the settings only once they are used.
from durably_django.tasks.backend import DurablyBackend  # noqa: E402 - beside what explains it


class StoringBackend(DurablyBackend):
    """Stores tasks; nothing takes them out of the outbox."""

    @property
    def results(self) -> list[TaskResult[..., Any]]:
        """All results, the oldest first; the dummy keeps such a list."""
        from durably_django.tasks.models import TaskRecord
        from durably_django.tasks.records import to_result

        return [to_result(row) for row in TaskRecord.objects.order_by("enqueued_at")]

    def clear(self) -> None:
        """Forget all results."""
        from durably_django.tasks.models import TaskRecord

        TaskRecord.objects.all().delete()


class WaitingBackend(DurablyBackend):
    """Sends each task at once, and waits for its end."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult[..., Any]:
        """Enqueue and wait."""
        from durably_django.outbox.relay import Relay

        done = threading.Event()
        ids: list[str] = []

        def receive(sender: Any, task_result: Any, **_: Any) -> None:
            ids.append(task_result.id)
            done.set()

        task_finished.connect(receive)
        try:
            result = super().enqueue(task, args, kwargs)
            Relay().drain()
            if not done.wait(_BOUND_S):
                raise TimeoutError(f"{task.name} did not end")
        finally:
            task_finished.disconnect(receive)
        assert ids == [result.id]
        return self.get_result(result.id)


class Runner(DiscoverRunner):
    """Leaves out what does not apply, and runs the rest with a runtime that does not empty the outbox."""

    left_out: list[str]

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        """Find the tests."""
        suite = super().build_suite(*args, **kwargs)
        self.left_out = []
        kept = unittest.TestSuite()
        for test in _flat(suite):
            name = ".".join(test.id().split(".")[-2:])
            if name in NOT_APPLICABLE:
                self.left_out.append(name)
            else:
                kept.addTest(test)
        return kept

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        """Run them."""
        from durably_django.runtime import runtime

        runtime.start(sends_outbox=False)
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            runtime.stop()


def _flat(suite: Any) -> Iterator[Any]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flat(each)
        else:
            yield each


def read_release(folder: Path) -> Path:
    """Fetch the source release of the installed Django; gives the folder with its tests of tasks."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    release = f"django=={django.__version__}"
    subprocess.run([*command, "--no-binary", ":all:", "--dest", str(folder), release], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        members = [each for each in content.getmembers() if "/tests/tasks/" in each.name]
        content.extractall(folder, members, filter="data")
    (tests,) = folder.glob("*/tests/tasks")
    return tests


def adapt(source: Path, target: Path) -> None:
    """Copy test modules with the durable backends in place of the others; all of them may use the database."""
    replaced = {
        f"{PACKAGE}.backends.dummy.DummyBackend": _STORING,
        f"{PACKAGE}.backends.immediate.ImmediateBackend": _WAITING,
        f"from {PACKAGE}.backends.dummy import DummyBackend": f"from {__name__} import StoringBackend as DummyBackend",
        f"from {PACKAGE}.backends.immediate import ImmediateBackend": (
            f"from {__name__} import WaitingBackend as ImmediateBackend"
        ),
        "(SimpleTestCase)": "(TransactionTestCase)",
        'path("admin/", admin.site.urls),': "",
        "available_apps = []": "available_apps = None",
    }
    text = "from django.test import TransactionTestCase\n" + source.read_text()
    for before, after in replaced.items():
        text = text.replace(before, after)
    target.write_text(text)


def prepare(tests: Path, folder: Path, *, is_checkout: bool) -> str:
    """Put the tests where they can be imported; gives the name of their package."""
    modules, name = (tests / "tests" / "tests", "tests.tests") if is_checkout else (tests, "tasks")
    package = folder / "suite" / Path(*name.split("."))
    package.mkdir(parents=True)
    for each in {package, package.parent} - {folder / "suite"}:
        (each / "__init__.py").touch()
    for module in _MODULES:
        adapt(modules / module, package / module)
    outer, modules = (package.parent, tests / "tests") if is_checkout else (package, tests)
    for module in ("tasks.py", "urls.py", "views.py") if is_checkout else ("tasks.py",):
        adapt(modules / module, outer / module)
    sys.path.insert(0, str(folder / "suite"))
    return name


def main() -> int:
    """Run them; gives the number of failures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--checkout", type=Path, help="a checkout of django-tasks")
    checkout: Path | None = parser.parse_args().checkout
    if (checkout is None) != (PACKAGE == "django.tasks"):
        print("Django's tests need Django 6; those of django-tasks need --checkout, and a Django without tasks.")
        return 2
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        tests = read_release(folder) if checkout is None else checkout
        package = prepare(tests, folder, is_checkout=checkout is not None)
        configure(folder)
        runner = Runner(verbosity=1, interactive=False)
        failures: int = runner.run_tests([package])
    print("Not applicable:")
    for name in sorted(runner.left_out):
        print(f"  {name}: {NOT_APPLICABLE[name]}")
    return failures


if __name__ == "__main__":
    from tools import django_task_tests  # one copy of the backends, under the name that settings give them

    sys.exit(django_task_tests.main())
