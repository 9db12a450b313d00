"""Calls within a scope (protocol V7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durably import Context
from durably.authoring.sync_contexts import SyncContext
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import EVERYWHERE, Play, run_once
from tests.authoring.test_calls import answer, deliver, price, put

V7_ONLY = [setting for setting in EVERYWHERE if setting.version is ProtocolVersion.V7]


@pytest.mark.parametrize("play", V7_ONLY, indirect=True, ids=str)
def test_scoped_calls_carry_scope_and_limit_key(play: Play) -> None:
    """All six verbs, and the options of `call`, `send` and the generic ones."""

    async def handle(ctx: Context) -> Any:
        scoped = ctx.scope("eu")
        results = [
            await scoped.service_call(price, "tea", limit_key="user"),
            await scoped.object_call(put, "k", "tea"),
            await scoped.workflow_call(deliver, "k", "tea"),
            await ctx.call(price, "tea", scope="us", limit_key="l"),
            (await ctx.generic_call("Any", "echo", b"x", scope="us")).decode(),
        ]
        scoped.service_send(price, "tea", limit_key="user")
        scoped.object_send(put, "k", "tea", send_delay=timedelta(seconds=1))
        scoped.workflow_send(deliver, "k", "tea")
        ctx.send(price, "tea", scope="us", limit_key="l")
        ctx.generic_send("Any", "echo", b"x", scope="us")
        return results

    def handle_sync(ctx: SyncContext) -> Any:
        scoped = ctx.scope("eu")
        results = [
            scoped.service_call(price, "tea", limit_key="user"),
            scoped.object_call(put, "k", "tea"),
            scoped.workflow_call(deliver, "k", "tea"),
            ctx.call(price, "tea", scope="us", limit_key="l"),
            ctx.generic_call("Any", "echo", b"x", scope="us").decode(),
        ]
        scoped.service_send(price, "tea", limit_key="user")
        scoped.object_send(put, "k", "tea", send_delay=timedelta(seconds=1))
        scoped.workflow_send(deliver, "k", "tea")
        ctx.send(price, "tea", scope="us", limit_key="l")
        ctx.generic_send("Any", "echo", b"x", scope="us")
        return results

    played = play(handle, handle_sync, on_call=answer)
    assert played.result == [{"tea": 3}, 2, 2, {"tea": 3}, "x"]
    expected = [("eu", "user"), ("eu", ""), ("eu", ""), ("us", "l"), ("us", "")]
    assert [(each.scope, each.limit_key) for each in played.call_commands] == expected * 2


@pytest.mark.parametrize("version", [ProtocolVersion.V5, ProtocolVersion.V6])
def test_scopes_need_the_newest_protocol(version: ProtocolVersion) -> None:
    """An older runtime cannot do it: the attempt fails with 573, naming the feature."""
    attempts = 0

    async def handle(ctx: Context) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            ctx.scope("eu").service_send(price, "tea")

    (error,) = run_once(handle, version=version).errors
    assert error.code == 573
    assert "scope" in error.message.lower()
