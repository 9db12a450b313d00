"""Calls to other handlers, in every setting."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, ObjectContext, Service, TerminalError, VirtualObject, Workflow, WorkflowContext
from durably.authoring.sync_contexts import SyncContext
from durably.errors import UsageError
from tests.authoring.playing import Play, run_once
from tests.runtime_model.runtime import Rejected

shop = Service("Shop")
cart = VirtualObject("Cart")
delivery = Workflow("Delivery")


@shop.handler()
async def price(ctx: Context, item: str) -> dict[str, int]:
    """Give a price."""
    return {item: 1}


@shop.handler()
def restock(ctx: SyncContext) -> None:
    """Take no input."""


@cart.handler()
async def put(ctx: ObjectContext, item: str) -> int:
    """Put something into the cart."""
    return 1


@delivery.main()
async def deliver(ctx: WorkflowContext, item: str) -> int:
    """Deliver."""
    return 1


def answer(service: str, handler: str, parameter: bytes) -> bytes:
    """Be the callee."""
    match handler:
        case "price":
            return b"{" + parameter + b":3}"
        case "restock":
            return b""
        case "echo":
            return parameter
        case "deny":
            raise Rejected(403, "denied")
        case _:
            return b"2"


def test_calls_of_each_kind(play: Play) -> None:
    """Arguments and results go through the callee's serdes, whatever the verb."""

    async def handle(ctx: Context) -> Any:
        return [
            await ctx.service_call(price, "tea", idempotency_key="once", headers={"x-a": "1"}),
            await ctx.object_call(put, "k1", "tea"),
            await ctx.workflow_call(deliver, "k2", "tea"),
            await ctx.call(price, "tea"),
            await ctx.call(put, "tea", key="k3", idempotency_key="again", headers={"x-b": "2"}),
            await ctx.call(restock),
            (await ctx.generic_call("Any", "echo", b"bytes", key="k4")).decode(),
        ]

    def handle_sync(ctx: SyncContext) -> Any:
        return [
            ctx.service_call(price, "tea", idempotency_key="once", headers={"x-a": "1"}),
            ctx.object_call(put, "k1", "tea"),
            ctx.workflow_call(deliver, "k2", "tea"),
            ctx.call(price, "tea"),
            ctx.call(put, "tea", key="k3", idempotency_key="again", headers={"x-b": "2"}),
            ctx.call(restock),
            ctx.generic_call("Any", "echo", b"bytes", key="k4").decode(),
        ]

    played = play(handle, handle_sync, on_call=answer)
    assert played.result == [{"tea": 3}, 2, 2, {"tea": 3}, 2, None, "bytes"]
    calls = played.call_commands
    assert [(each.service_name, each.handler_name, each.key) for each in calls] == [
        ("Shop", "price", ""),
        ("Cart", "put", "k1"),
        ("Delivery", "deliver", "k2"),
        ("Shop", "price", ""),
        ("Cart", "put", "k3"),
        ("Shop", "restock", ""),
        ("Any", "echo", "k4"),
    ]
    assert [each.idempotency_key for each in calls] == ["once", "", "", "", "again", "", ""]
    assert [(each.key, each.value) for call in calls for each in call.headers] == [("x-a", "1"), ("x-b", "2")]


def test_one_way_calls_of_each_kind(play: Play) -> None:
    """They give a handle with the callee's id, through which it can be cancelled; a delay is absolute on the wire."""

    async def handle(ctx: Context) -> Any:
        delay = timedelta(hours=1)
        handles = [
            ctx.service_send(price, "tea", send_delay=delay),
            ctx.object_send(put, "k1", "tea"),
            ctx.workflow_send(deliver, "k2", "tea"),
            ctx.send(put, "tea", key="k3", delay=delay, idempotency_key="i", headers={"x": "y"}),
            ctx.generic_send("Any", "echo", b"bytes", send_delay=delay),
        ]
        ids = [await each.invocation_id() for each in handles]
        await handles[0].cancel_invocation()
        return ids

    def handle_sync(ctx: SyncContext) -> Any:
        delay = timedelta(hours=1)
        handles = [
            ctx.service_send(price, "tea", send_delay=delay),
            ctx.object_send(put, "k1", "tea"),
            ctx.workflow_send(deliver, "k2", "tea"),
            ctx.send(put, "tea", key="k3", delay=delay, idempotency_key="i", headers={"x": "y"}),
            ctx.generic_send("Any", "echo", b"bytes", send_delay=delay),
        ]
        ids = [each.invocation_id() for each in handles]
        handles[0].cancel_invocation()
        return ids

    played = play(handle, handle_sync)
    assert played.result == [f"inv_1child{number}" for number in range(1, 6)]
    assert [each.target_invocation_id for each in played.signals] == ["inv_1child1"]
    due = [each.invoke_time for each in played.call_commands]
    assert due[1] == due[2] == 0
    assert all(abs(each - (time.time() + 3600) * 1000) < 60_000 for each in (due[0], due[3], due[4]))


def test_a_failing_call_raises(play: Play) -> None:
    """The callee's terminal failure arrives with its code and text."""

    async def handle(ctx: Context) -> Any:
        call = ctx.generic_call("Any", "deny", b"")
        try:
            await call
        except TerminalError as error:
            return [await call.invocation_id(), error.status_code, error.message]

    def handle_sync(ctx: SyncContext) -> Any:
        call = ctx.start.generic_call("Any", "deny", b"")
        try:
            call.result()
        except TerminalError as error:
            return [call.invocation_id_future.result(), error.status_code, error.message]

    assert play(handle, handle_sync, on_call=answer).result == ["inv_1child1", 403, "denied"]


def test_a_call_is_cancelled_by_its_caller(play: Play) -> None:
    """The signal goes to the callee; the future still waits for how it ends."""

    async def handle(ctx: Context) -> Any:
        call = ctx.call(price, "tea")
        await call.cancel_invocation()
        return await call

    def handle_sync(ctx: SyncContext) -> Any:
        call = ctx.start.call(price, "tea")
        ctx.cancel_invocation(call.invocation_id_future.result())
        return call.result()

    played = play(handle, handle_sync, on_call=answer)
    assert [(each.target_invocation_id, each.idx) for each in played.signals] == [("inv_1child1", 1)]


def test_keys_must_fit_the_callee(play: Play) -> None:
    """A missing key, one too many, or a function that is no handler are told at the call; nothing is journaled."""

    def handle_sync(ctx: SyncContext) -> None:
        context: Any = ctx
        with pytest.raises(UsageError, match="no key was given"):
            context.call(put, "tea")
        with pytest.raises(UsageError, match="plain service"):
            context.send(price, "tea", key="k")
        with pytest.raises(UsageError, match="not a registered handler"):
            context.call(answer, "tea")

    async def handle(ctx: Context) -> None:
        context: Any = ctx
        handle_sync(context)

    assert play(handle, handle_sync).commands == ["INPUT", "OUTPUT"]


def test_an_empty_idempotency_key_fails_the_attempt() -> None:
    """The protocol forbids it: the attempt says so, and nothing is journaled."""
    attempts = 0

    async def handle(ctx: Context) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            ctx.generic_send("Any", "echo", b"", idempotency_key="")

    (error,) = run_once(handle).errors
    assert "idempotency key" in error.message


def test_a_negative_delay_is_refused() -> None:
    """A call cannot be sent into the past."""

    async def handle(ctx: Context) -> None:
        with pytest.raises(UsageError, match="negative duration"):
            ctx.generic_send("Any", "echo", b"", send_delay=timedelta(seconds=-1))

    assert run_once(handle).commands == ["INPUT", "OUTPUT"]
