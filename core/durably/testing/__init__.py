"""Tools for testing durable handlers; everything is imported when it is first used.

create_test_harness, blocking_test_harness   an application and a runtime, in memory or on a real server
crash_everywhere, CrashOptions               a scenario again for each journal entry, with a crash there
Effects                                      what handlers do to the outside world
MockInvocation                               one handler without an engine
record_journal, assert_replays               journals of earlier releases that must replay for ever
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durably.testing.applications import HasEndpoint, HasLink
    from durably.testing.blocking import BlockingHarness
    from durably.testing.crashes import CrashOptions, CrashReport, crash_everywhere
    from durably.testing.effects import Effects
    from durably.testing.embedded import EmbeddedEnvironment
    from durably.testing.findings import Finding, HandlerFaultError
    from durably.testing.harness import blocking_test_harness, create_test_harness, test_harness
    from durably.testing.journals import RecordedJournal
    from durably.testing.mocking import MockInvocation
    from durably.testing.recording import record_journal, record_journal_blocking
    from durably.testing.replaying import assert_replays
    from durably.testing.served import RestateTestHarness

__all__ = [
    "BlockingHarness",
    "CrashOptions",
    "CrashReport",
    "Effects",
    "EmbeddedEnvironment",
    "Finding",
    "HandlerFaultError",
    "HasEndpoint",
    "HasLink",
    "MockInvocation",
    "RecordedJournal",
    "RestateTestHarness",
    "assert_replays",
    "blocking_test_harness",
    "crash_everywhere",
    "create_test_harness",
    "record_journal",
    "record_journal_blocking",
    "test_harness",
]

_IMPORTED_ON_USE = {
    "BlockingHarness": "blocking",
    "CrashOptions": "crashes",
    "CrashReport": "crashes",
    "Effects": "effects",
    "EmbeddedEnvironment": "embedded",
    "Finding": "findings",
    "HandlerFaultError": "findings",
    "HasEndpoint": "applications",
    "HasLink": "applications",
    "MockInvocation": "mocking",
    "RecordedJournal": "journals",
    "RestateTestHarness": "served",
    "assert_replays": "replaying",
    "blocking_test_harness": "harness",
    "crash_everywhere": "crashes",
    "create_test_harness": "harness",
    "record_journal": "recording",
    "record_journal_blocking": "recording",
    "test_harness": "harness",
}


def __getattr__(name: str) -> Any:
    if name not in _IMPORTED_ON_USE:
        raise AttributeError(f"module 'durably.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"durably.testing.{_IMPORTED_ON_USE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
