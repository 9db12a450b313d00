"""Handles of one-way calls in `def` handlers; `test_calls` and `test_scopes` play the calls themselves."""

from __future__ import annotations

from typing import Any

from durably.authoring.sync_calls import SyncScopedContext, SyncSendHandle
from durably.authoring.sync_contexts import SyncContext
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import run_once
from tests.authoring.test_calls import answer, price, put


def test_handles_of_one_way_calls() -> None:
    """Each gives the callee's id, and cancels it; scoped calls give such handles too."""

    def handle(ctx: SyncContext) -> Any:
        scoped = ctx.scope("eu")
        assert isinstance(scoped, SyncScopedContext)
        handles = [ctx.send(price, "tea"), scoped.service_send(price, "tea"), scoped.object_send(put, "k", "tea")]
        assert all(isinstance(each, SyncSendHandle) for each in handles)
        handles[-1].cancel_invocation()
        return [each.invocation_id() for each in handles]

    played = run_once(handle, version=ProtocolVersion.V7, on_call=answer)
    assert played.result == ["inv_1child1", "inv_1child2", "inv_1child3"]
    assert [each.target_invocation_id for each in played.signals] == ["inv_1child3"]
