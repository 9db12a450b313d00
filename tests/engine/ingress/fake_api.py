"""An engine that notes what it is asked, and answers what a test told it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from durably.engine.actions import Failed, FailureSource, Outcome, Success
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.events import Event
from durably.engine.records import (
    EngineOptions,
    HandlerRecord,
    InputDescriptor,
    Limits,
    OptionsRecord,
    OutputDescriptor,
    ServiceRecord,
    ServiceType,
    TargetKind,
)
from durably.engine.store.contract import Reader
from durably.engine.store.memory import MemoryStore

T = TypeVar("T")

INVOCATION = "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"
DEPLOYMENT = "dp_11hJYTzdJRnXy2yKfsVBNra"
NOW_MS = 1_795_425_129_479

JSON_INPUT = InputDescriptor(required=True, content_type="application/json", json_schema={"type": "string"})


def service(name: str, kind: ServiceType, *handlers: HandlerRecord, public: bool | None = None) -> ServiceRecord:
    """Make a service."""
    return ServiceRecord(
        name, 1, DEPLOYMENT, kind, OptionsRecord(public=public), {handler.name: handler for handler in handlers}
    )


def handler(name: str, kind: TargetKind, *, public: bool | None = None, **descriptors: Any) -> HandlerRecord:
    """Make a handler."""
    return HandlerRecord(name, kind, OptionsRecord(public=public), **descriptors)


SERVICES = {
    "Svc": service(
        "Svc",
        ServiceType.SERVICE,
        handler("any", TargetKind.SERVICE),
        handler("json", TargetKind.SERVICE, input=JSON_INPUT),
        handler("none", TargetKind.SERVICE, input=InputDescriptor(), output=OutputDescriptor()),
        handler("send", TargetKind.SERVICE),
        handler("private", TargetKind.SERVICE, public=False),
        handler("text", TargetKind.SERVICE, input=InputDescriptor(required=True, content_type="text/*")),
    ),
    "Obj": service(
        "Obj",
        ServiceType.VIRTUAL_OBJECT,
        handler("put", TargetKind.EXCLUSIVE),
        handler("send", TargetKind.SHARED),
    ),
    "Flow": service("Flow", ServiceType.WORKFLOW, handler("run", TargetKind.WORKFLOW_RUN)),
    "Private": service("Private", ServiceType.SERVICE, handler("any", TargetKind.SERVICE), public=False),
}


class FakeApi:
    """Answers every event with `outcome`; None never answers, an exception is raised."""

    def __init__(self, outcome: Outcome | Exception | None = None, *, limits: Limits | None = None) -> None:
        self.outcome: Outcome | Exception | None = outcome or Success(INVOCATION, b'"ok"')
        self.events: list[Event] = []
        self.registrations: list[Registration] = []
        self.store = MemoryStore()
        self.never = False
        self.waiting = asyncio.Event()
        self.cancelled = False
        self.options = EngineOptions(limits=limits or Limits())
        self.services: Mapping[str, ServiceRecord] = SERVICES

    def now_ms(self) -> int:
        """Tell a fixed time."""
        return NOW_MS

    async def submit(self, event: Event) -> Outcome:
        """Note the event and answer it."""
        self.events.append(event)
        if self.never:
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    async def read(self, work: Callable[[Reader], T]) -> T:
        """Read an empty store."""
        return self.store.read(work)

    async def register(self, registration: Registration) -> RegisteredDeployment | Failed:
        """Note the registration and refuse it."""
        self.registrations.append(registration)
        return Failed(500, "It does not answer.", source=FailureSource.ADMIN, doc_code="META0003")
