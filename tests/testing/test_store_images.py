"""Reading an engine's file: all of it, at one moment, while an engine runs on it, and without changing it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

import durably
from durably.protocol.messages import MessageType
from durably.testing.store_images import StoreImage


def test_everything_of_an_invocation_is_read(tmp_path: Path) -> None:
    """Its row, journal, result and place are there while the engine runs, and the later image has the later state."""
    cell = durably.VirtualObject("Cell")

    @cell.handler()
    async def put(ctx: durably.ObjectContext, text: str) -> str:
        ctx.set("text", text)
        if text == "wait":
            await ctx.awakeable()[1]
        return text

    async def play() -> tuple[StoreImage, StoreImage]:
        async with durably.Engine(f"sqlite:///{tmp_path / 'engine.db'}", services=[cell]) as engine:
            client = engine.client()
            await client.object_call(put, key="k", arg="done")
            before = await asyncio.to_thread(StoreImage.read, tmp_path / "engine.db")
            for _ in range(2):
                await client.object_send(put, key="k", arg="wait")
            return before, await asyncio.to_thread(StoreImage.read, tmp_path / "engine.db")

    before, after = asyncio.run(play())
    (done,) = before.invocations.values()
    assert (done.status, done.value, done.failure, done.has_result) == ("completed", b'"done"', None, True)
    assert done.address == ("Cell", "k")
    assert [entry.type for entry in done.entries] == [MessageType.INPUT, MessageType.SET_STATE, MessageType.OUTPUT]
    assert [entry.index for entry in done.entries] == [0, 1, 2]
    assert str(done) == f"{done.id} (Cell/k/put, completed)"
    assert len(after.invocations) == 3
    assert after.invocations[done.id] == done
    assert (len(after.tables["locks"]), len(after.tables["inbox"])) == (1, 1)
    assert not before.tables["locks"]


def test_missing_file_stays_missing(tmp_path: Path) -> None:
    """Reading a file that does not exist is an error and makes none."""
    with pytest.raises(sqlite3.OperationalError):
        StoreImage.read(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
