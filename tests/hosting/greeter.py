"""One endpoint with async and plain handlers, for the tests of the applications."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from durably.authoring.contexts import Context
from durably.authoring.endpoint import Endpoint
from durably.authoring.services import Service
from durably.authoring.sync_contexts import SyncContext


@dataclass
class Greeter:
    """An endpoint and what its handlers did.

    `gate` holds the handlers that block; `entered` counts them.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    notes: list[Any] = field(default_factory=list)
    hook: Callable[[], Any] | None = None

    def endpoint(self) -> Endpoint:
        """Build the endpoint."""
        return Endpoint().bind(self._asynchronous(), self._plain())

    def _asynchronous(self) -> Service:
        service = Service("Greeter")

        @service.handler()
        async def greet(ctx: Context, name: str) -> str:
            return f"Hello {name}"

        @service.handler()
        async def fails(ctx: Context) -> None:
            raise ValueError("the shelf is empty")

        @service.handler()
        async def waits(ctx: Context) -> str:
            _, promise = ctx.awakeable(type_hint=str)
            try:
                return await promise
            finally:
                self.notes.append("unwound")

        @service.handler()
        async def acts(ctx: Context) -> None:
            async def act() -> None:
                self.entered.release()
                try:
                    await asyncio.sleep(3600)
                finally:
                    self.notes.append("unwound")

            await ctx.run_typed("act", act)

        @service.handler()
        async def hooked(ctx: Context) -> Any:
            return self.hook() if self.hook else None

        @service.handler()
        async def steps(ctx: Context, count: int) -> int:
            return sum([await ctx.run_typed(f"step-{index}", lambda index=index: index) for index in range(count)])

        return service

    def _plain(self) -> Service:
        service = Service("Plain")

        @service.handler("greet")
        def greet(ctx: SyncContext, name: str) -> str:
            return f"Hello {name}"

        @service.handler("fails")
        def fails(ctx: SyncContext) -> None:
            raise ValueError("the shelf is empty")

        @service.handler("waits")
        def waits(ctx: SyncContext) -> str:
            _, promise = ctx.awakeable(type_hint=str)
            self.entered.release()
            try:
                return promise.result()
            finally:
                self.notes.append("unwound")

        @service.handler("blocks")
        def blocks(ctx: SyncContext) -> str:
            self.entered.release()
            self.gate.wait(5)
            return "free"

        @service.handler("patient")
        def patient(ctx: SyncContext) -> None:
            def act() -> None:
                self.entered.release()
                self.notes.append(ctx.request().attempt_finished_event.wait_blocking(5))

            ctx.run_typed("act", act)

        @service.handler("hooked")
        def hooked(ctx: SyncContext) -> Any:
            return self.hook() if self.hook else None

        @service.handler("steps")
        def steps(ctx: SyncContext, count: int) -> int:
            return sum([ctx.run_typed(f"step-{index}", lambda index=index: index) for index in range(count)])

        return service
