"""State of objects and workflows: read, written, cleared, in every setting."""

from __future__ import annotations

from typing import Any

import pytest

from durably import ObjectContext, ObjectSharedContext
from durably.authoring.sync_contexts import SyncObjectContext, SyncObjectSharedContext
from tests.authoring.playing import Play


@pytest.mark.parametrize("lazy_state", [False, True])
def test_state_is_read_and_written(play: Play, lazy_state: bool) -> None:
    """What was set is read again, in this attempt and on replay, wherever the state is kept."""

    async def handle(ctx: ObjectContext) -> Any:
        before = [await ctx.get("there", type_hint=int), await ctx.get("absent")]
        ctx.set("new", {"a": [1, 2]})
        ctx.set("there", 2, entry_name="twice")
        after = [await ctx.get("there", type_hint=int), await ctx.get("new")]
        return [ctx.key(), before, after, await ctx.state_keys()]

    def handle_sync(ctx: SyncObjectContext) -> Any:
        before = [ctx.get("there", type_hint=int), ctx.get("absent")]
        ctx.set("new", {"a": [1, 2]})
        ctx.set("there", 2, entry_name="twice")
        after = [ctx.get("there", type_hint=int), ctx.get("new")]
        return [ctx.key(), before, after, ctx.state_keys()]

    played = play(handle, handle_sync, kind="object", state={"there": b"1"}, lazy_state=lazy_state)
    assert played.result == ["key-1", [1, None], [2, {"a": [1, 2]}], ["new", "there"]]
    assert played.state == {"there": b"2", "new": b'{"a":[1,2]}'}
    reads = [name for name in played.commands if name.startswith("GET_")]
    if lazy_state:
        assert reads == ["GET_LAZY_STATE"] * 2 + ["GET_EAGER_STATE"] * 2 + ["GET_LAZY_STATE_KEYS"]
    else:
        assert reads == ["GET_EAGER_STATE"] * 4 + ["GET_EAGER_STATE_KEYS"]


@pytest.mark.parametrize("lazy_state", [False, True])
def test_state_is_cleared(play: Play, lazy_state: bool) -> None:
    """A cleared key is gone at once; after all are cleared nothing has to be asked for."""

    async def handle(ctx: ObjectContext) -> Any:
        ctx.clear("one")
        one = await ctx.get("one")
        ctx.clear_all()
        return [one, await ctx.get("two"), await ctx.state_keys()]

    def handle_sync(ctx: SyncObjectContext) -> Any:
        ctx.clear("one")
        one = ctx.get("one")
        ctx.clear_all()
        return [one, ctx.get("two"), ctx.state_keys()]

    played = play(handle, handle_sync, kind="object", state={"one": b"1", "two": b"2"}, lazy_state=lazy_state)
    assert played.result == [None, None, []]
    assert played.state == {}
    assert "GET_LAZY_STATE" not in played.commands


@pytest.mark.parametrize("kind", ["shared", "query"])
def test_shared_handlers_read_state(play: Play, kind: Any) -> None:
    """Handlers beside the exclusive one read, and have no way to write."""

    async def handle(ctx: ObjectSharedContext) -> Any:
        return [ctx.key(), await ctx.get("there"), hasattr(ctx, "set")]

    def handle_sync(ctx: SyncObjectSharedContext) -> Any:
        return [ctx.key(), ctx.get("there"), hasattr(ctx, "set")]

    if kind == "query":
        handle.__annotations__["ctx"] = handle_sync.__annotations__["ctx"] = "Any"
    assert play(handle, handle_sync, kind=kind, state={"there": b"1"}).result == ["key-1", 1, False]
