"""What the pytest plugin's fixtures and marker do.

Owns the order in which options count (the call's, the marker's, the command line's), and tests that run everywhere.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final

from durably.errors import UsageError
from durably.testing.crashes import CrashOptions, CrashSession
from durably.testing.effects import Effects
from durably.testing.harness import blocking_test_harness, create_test_harness
from durably.testing.options import runs_on_server

__all__ = ["Harness", "HarnessFactory", "run_everywhere"]

_OF_HARNESS: Final = frozenset(("always_replay", "disable_retries", "skip_time", "shuffle", "server", "engine"))
_OF_CALLS: Final = frozenset(inspect.signature(create_test_harness).parameters) - {"app"}
_OF_CRASHES: Final = frozenset(("shuffles", "processes", "most_crashes", "limit"))
_NOT_ON_SERVER: Final = ("skip_time", "shuffle", "engine")


class Harness:
    """A harness that is not started: a context manager of both kinds."""

    def __init__(self, app_or_services: Any, options: dict[str, Any]) -> None:
        """Keep what to run and how."""
        self._app_or_services = app_or_services
        self._options = options
        self._entered: AbstractAsyncContextManager[Any] | None = None
        self._blocking: Any = None

    async def __aenter__(self) -> Any:
        """Start it on the running event loop; give its environment."""
        self._entered = create_test_harness(self._app_or_services, **self._options)
        return await self._entered.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        if self._entered is not None:
            await self._entered.__aexit__(kind, error, traceback)

    def __enter__(self) -> Any:
        """Start it on a thread of its own; give the blocking harness."""
        self._blocking = blocking_test_harness(self._app_or_services, **self._options)
        return self._blocking.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self._blocking.__exit__(kind, error, traceback)


class HarnessFactory:
    """Makes harnesses with the options of one test; the fixture `durably_harness`."""

    def __init__(self, command_line: Any, marked: dict[str, Any], effects: Effects | None) -> None:
        """Begin with the options of the command line and of the marker.

        Raises:
            UsageError: The marker has an argument that means nothing.
        """
        _refuse_unknown("The marker `durably`", marked, {*_OF_HARNESS, *_OF_CRASHES, "crash_everywhere"})
        self._options: dict[str, Any] = {}
        if command_line.durably_always_replay:
            self._options["always_replay"] = True
        if command_line.durably_shuffle is not None:
            self._options["shuffle"] = int(command_line.durably_shuffle)
        if command_line.durably_server:
            self._options["server"] = True
        self._options |= {name: value for name, value in marked.items() if name in _OF_HARNESS}
        self.effects: Effects | None = effects
        self._before_each: list[Callable[[], None]] = []
        self._on_crash: list[Callable[[], None]] = []
        self.is_everywhere: bool = False

    def __call__(self, app_or_services: Any, **options: Any) -> Harness:
        """Make a harness; options as for `create_test_harness`.

        A test that needs what a real server does not have is skipped on one.

        Raises:
            UsageError: There is no such option.
        """
        _refuse_unknown("A harness", options, _OF_CALLS)
        chosen = {**self._options, **options}
        if self.is_everywhere:
            chosen.setdefault("skip_time", True)
        if self.effects is not None:
            chosen.setdefault("effects", self.effects)
        missing = [name for name in _NOT_ON_SERVER if chosen.get(name)]
        if runs_on_server(chosen.get("server")) and missing:
            import pytest

            pytest.skip(f"A real server does not have {', '.join(missing)}.")
        return Harness(app_or_services, chosen)

    def before_each(self, action: Callable[[], None]) -> None:
        """Call `action` before every further run of a test that runs everywhere: set back what the test changed."""
        self._before_each.append(action)

    def on_crash(self, action: Callable[[], None]) -> None:
        """Call `action` after every crash: drop what a process loses when it dies."""
        self._on_crash.append(action)

    def restart(self) -> None:
        """Do what is to be done before a run."""
        if self.effects is not None:
            self.effects.clear()
        for action in self._before_each:
            action()
        self._before_each.clear()  # the next run registers its own
        self._on_crash.clear()

    def crashed(self) -> None:
        """Do what is to be done after a crash."""
        for action in self._on_crash:
            action()


def _refuse_unknown(what: str, given: Mapping[str, Any], known: AbstractSet[str]) -> None:
    for name in given:
        if name not in known:
            raise UsageError(f"{what} has no option {name!r}.", hint=f"There are {', '.join(sorted(known))}.")


def run_everywhere(test: Callable[..., Any], marked: Mapping[str, Any]) -> Callable[..., Any]:
    """Give a test that runs `test` again for every journal entry, with a crash there.

    Args:
        test: Uses the fixture `durably_harness`; a coroutine function or a plain one.
        marked: The arguments of its marker.
    """

    def session_of(fixtures: Mapping[str, Any]) -> CrashSession:
        factory: HarnessFactory = fixtures["durably_harness"]
        factory.is_everywhere = True
        chosen = {name: value for name, value in marked.items() if name in _OF_CRASHES}
        return CrashSession(CrashOptions(before_each=factory.restart, on_crash=factory.crashed, **chosen))

    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def everywhere(**fixtures: Any) -> None:
            __tracebackhide__ = True
            session = session_of(fixtures)
            for run in session.runs():
                with run.active():
                    run.value = await test(**fixtures)
            session.report.check()

        return everywhere

    @functools.wraps(test)
    def everywhere_blocking(**fixtures: Any) -> None:
        __tracebackhide__ = True
        session = session_of(fixtures)
        for run in session.runs():
            with run.active():
                run.value = test(**fixtures)
        session.report.check()

    return everywhere_blocking
