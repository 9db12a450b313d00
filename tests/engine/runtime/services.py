"""Services that the tests of the running engine call: async and sync ones, each small enough to see through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import durably
from durably import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    SyncContext,
    SyncObjectContext,
    WorkflowContext,
    WorkflowSharedContext,
)

WEEK = timedelta(days=7)


@dataclass
class World:
    """What the services did, seen from outside.

    Attributes:
        runs: How often each step ran.
        awakeables: Identifiers by the name that the test gave.
        fail: How many more times a handler of this name raises.
        log: What happened, in its order.
    """

    runs: Counter[str] = field(default_factory=Counter[str])
    awakeables: dict[str, str] = field(default_factory=dict[str, str])
    fail: Counter[str] = field(default_factory=Counter[str])
    log: list[str] = field(default_factory=list[str])

    def note(self, step: str) -> str:
        """Count one run of a step."""
        self.runs[step] += 1
        return step


class Shop:
    """All services around one world; handlers are attributes."""

    def __init__(self) -> None:
        self.world = World()
        self.plain = durably.Service("Plain")
        self.counter = durably.VirtualObject("Counter")
        self.order = durably.Workflow("Order")
        self._define_plain(self.world)
        self._define_waiting(self.world)
        self._define_sync(self.world)
        self._define_counter(self.world)
        self._define_order(self.world)

    @property
    def services(self) -> list[Any]:
        """For an engine."""
        return [self.plain, self.counter, self.order]

    def _define_plain(self, world: World) -> None:
        @self.plain.handler()
        async def hello(ctx: Context, name: str) -> str:
            return f"hello {name}"

        @self.plain.handler()
        async def steps(ctx: Context, count: int) -> int:
            for number in range(count):
                await ctx.run_typed("step", world.note, step=f"step {number}")
            return count

        @self.plain.handler()
        async def flaky(ctx: Context, name: str) -> str:
            await ctx.run_typed("before", world.note, step=f"before {name}")
            if world.fail[name]:
                world.fail[name] -= 1
                world.log.append(f"failed {name}")
                raise ValueError("not this time")
            return f"done {name}"

        @self.plain.handler()
        async def refuse(ctx: Context, code: int) -> None:
            raise durably.TerminalError("refused", status_code=code)

        @self.plain.handler()
        async def call_counter(ctx: Context, key: str) -> int:
            return await ctx.object_call(self.add, key=key, arg=1)

        self.hello, self.steps, self.flaky, self.refuse = hello, steps, flaky, refuse
        self.call_counter = call_counter

    def _define_waiting(self, world: World) -> None:
        @self.plain.handler()
        async def sleep(ctx: Context, name: str) -> str:
            await ctx.run_typed("before", world.note, step=f"before {name}")
            await ctx.sleep(WEEK)
            await ctx.run_typed("after", world.note, step=f"after {name}")
            return f"slept {name}"

        @self.plain.handler()
        async def approve(ctx: Context, name: str) -> str:
            identifier, approval = ctx.awakeable(type_hint=str)
            world.awakeables[name] = identifier
            return f"{name}: {await approval}"

        @self.plain.handler()
        async def parent(ctx: Context, name: str) -> str:
            return await ctx.service_call(approve, arg=name)

        @self.plain.handler()
        async def send_later(ctx: Context, key: str) -> None:
            ctx.object_send(self.add, key=key, arg=5, send_delay=timedelta(hours=1))

        self.sleep, self.approve, self.parent, self.send_later = sleep, approve, parent, send_later

    def _define_sync(self, world: World) -> None:
        @self.plain.handler()
        def sync_steps(ctx: SyncContext, count: int) -> int:
            for number in range(count):
                ctx.run_typed("step", world.note, step=f"sync step {number}")
            ctx.sleep(WEEK)
            return count

        self.sync_steps = sync_steps

    def _define_counter(self, world: World) -> None:
        @self.counter.handler()
        async def add(ctx: ObjectContext, amount: int) -> int:
            value = (await ctx.get("value", type_hint=int)) or 0
            world.log.append(f"{ctx.key()} reads {value}")
            value += amount
            ctx.set("value", value)
            return value

        @self.counter.handler()
        def sync_add(ctx: SyncObjectContext, amount: int) -> int:
            value = (ctx.get("value", type_hint=int) or 0) + amount
            ctx.set("value", value)
            return value

        @self.counter.handler()
        async def hold(ctx: ObjectContext, name: str) -> str:
            identifier, release = ctx.awakeable(type_hint=str)
            world.awakeables[name] = identifier
            world.log.append(f"{ctx.key()} held by {name}")
            result = await release
            world.log.append(f"{ctx.key()} left by {name}")
            return result

        @self.counter.handler(kind="shared")
        async def value(ctx: ObjectSharedContext) -> int:
            return (await ctx.get("value", type_hint=int)) or 0

        self.add, self.sync_add, self.hold, self.value = add, sync_add, hold, value

    def _define_order(self, world: World) -> None:
        @self.order.main()
        async def place(ctx: WorkflowContext, item: str) -> str:
            await ctx.run_typed("reserve", world.note, step=f"reserve {item}")
            payment = await ctx.promise("payment", type_hint=str).value()
            return f"{item} paid by {payment}"

        @self.order.handler()
        async def pay(ctx: WorkflowSharedContext, by: str) -> None:
            await ctx.promise("payment", type_hint=str).resolve(by)

        self.place, self.pay = place, pay
