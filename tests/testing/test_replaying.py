"""Recorded journals: kept in files, read from both engines, and replayed against code that did or did not change."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import durably
from durably.errors import UsageError
from durably.testing import server
from durably.testing.harness import blocking_test_harness, create_test_harness
from durably.testing.journals import JournalError, RecordedJournal, journal_from_rows, load, save
from durably.testing.recording import fetch_journal_from, record_journal, record_journal_blocking
from durably.testing.replaying import assert_replays, handler_for
from tests.conformance.suite.binary import require_server
from tests.testing.shop import SERVICES, add, fulfil, place, remind, take

pytestmark = pytest.mark.anyio


def shop(*, renamed: str = "charge", extra: bool = False, broken: bool = False) -> durably.Service:
    """Give a service whose handler is, or is not, what it was when its journal was recorded."""
    service = durably.Service("Shop")

    @service.handler()
    async def order(ctx: durably.Context, amount: int) -> str:
        if broken:
            raise KeyError("a new bug")
        await ctx.run_typed(renamed, lambda: None)
        if extra:
            await ctx.run_typed("audit", lambda: None)
        await ctx.sleep(timedelta(days=1))
        return f"{amount} paid, {ctx.uuid()}"

    return service


async def recorded(path: Path | None = None, *, finish: bool = True) -> RecordedJournal:
    """Record an invocation of the shop as it was."""
    async with create_test_harness(shop(), skip_time=True) as env:
        sent = await env.client.generic_send("Shop", "order", b"3")
        await env.settle()
        if finish:
            await env.advance(timedelta(days=2))
        return await record_journal(env, sent.invocation_id, path)


async def test_code_that_did_not_change_replays(tmp_path: Path):
    """A journal from a file, a folder and memory is followed to its end, whether the invocation was over or not."""
    journal = await recorded(tmp_path / "order.json")
    assert journal.is_completed
    assert_replays(shop(), journal, tmp_path / "order.json", tmp_path)
    assert load(tmp_path / "order.json") == journal
    unfinished = await recorded(finish=False)
    assert not unfinished.is_completed
    assert_replays(shop(), unfinished)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"renamed": "debit"}, "run 'charge'"),
        ({"extra": True}, "sleep"),
        ({"broken": True}, "a new bug"),
    ],
)
@pytest.mark.parametrize("finish", [True, False])
async def test_code_that_changed_is_found(change: dict[str, Any], said: str, finish: bool):
    """The first operation that differs is named, with the line of the handler."""
    journal = await recorded(finish=finish)
    with pytest.raises(AssertionError) as caught:
        assert_replays(shop(**change), journal)
    assert said in str(caught.value)
    assert f"at:      {__file__}:" in str(caught.value)


async def test_steps_are_not_executed():
    """Where the journal ends a replay ends too: a step that was under way is not executed."""
    service = durably.Service("Half")
    executed: list[int] = []

    async def once() -> None:
        executed.append(1)
        if len(executed) == 1:
            await asyncio.Event().wait()

    @service.handler()
    async def half(ctx: durably.Context) -> None:
        await ctx.run_typed("first", lambda: None)
        await ctx.run_typed("second", once)

    async with create_test_harness(service) as env:
        sent = await env.client.send(half)
        while not executed:  # noqa: ASYNC110 - the handler tells nobody
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.03)
        journal = await record_journal(env, sent.invocation_id)
    assert_replays(half, journal)
    assert executed == [1]


async def test_handlers_of_every_kind_replay():
    """Objects with eager state, workflows with promises, calls, and `def` handlers replay from their journals."""
    async with create_test_harness(SERVICES, skip_time=True) as env:
        await env.state_of("Stock", "apples").set("left", 4)
        ids = [
            (await env.client.send(place, 2)).invocation_id,
            (await env.client.send(remind, 3)).invocation_id,
            (await env.client.send(add, 1, key="apples")).invocation_id,
            (await env.client.send(take, 1, key="apples")).invocation_id,
            (await env.client.workflow_send(fulfil, "w", None)).invocation_id,
        ]
        await env.advance(timedelta(days=8))
        journals = [await record_journal(env, each) for each in ids]
        assert_replays(SERVICES, *journals)
        over_http = await fetch_journal_from(env.admin_api_url, ids[0])
        assert (over_http.entries, over_http.target) == (journals[0].entries, journals[0].target)
        assert_replays(durably.app(SERVICES), over_http)
        with pytest.raises(JournalError, match="not known"):
            await fetch_journal_from(env.admin_api_url, "inv_1unknown")
        with pytest.raises(UsageError, match="no invocation id"):
            await fetch_journal_from(env.admin_api_url, "' or 1=1")
        with pytest.raises(JournalError, match="not known"):
            await record_journal(env, "inv_1unknown")


def test_blocking_tests_record_too(tmp_path: Path):
    """A test that does not await keeps a journal in the same format."""
    with blocking_test_harness(SERVICES) as harness:
        sent = harness.client.send(add, 2, key="plums")
        harness.client.attach(sent.invocation_id)
        record_journal_blocking(harness, sent.invocation_id, tmp_path / "add.json")
    assert_replays(add, tmp_path / "add.json")


async def test_a_journal_of_a_real_server_replays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What the real server's tables hold is read by the same function, and is followed, or not, in the same way."""
    monkeypatch.setenv(server.BINARY_VARIABLE, str(require_server()))
    async with create_test_harness(SERVICES, server=True) as env:
        sent = await env.client.send(take, 3, key="apples")
        await env.client.object_call(add, "apples", 1)
        journal = await record_journal(env, sent.invocation_id, tmp_path / "take.json")
    assert journal.entries[0][0] == 0x0400
    assert_replays(SERVICES, tmp_path / "take.json")
    with pytest.raises(AssertionError, match=r"get state 'left'"):
        assert_replays(add_handler_named_take(), journal)


def add_handler_named_take() -> durably.VirtualObject:
    """Give a stock whose `take` does something else."""
    stock = durably.VirtualObject("Stock")

    @stock.handler()
    async def take(ctx: durably.ObjectContext, amount: int) -> int:
        ctx.set("left", amount)
        return amount

    return stock


async def test_files_that_hold_no_journal(tmp_path: Path):
    """A file of another kind or format is refused with what is wrong, and so are handlers that are gone."""
    journal = await recorded()
    path = tmp_path / "journal.json"
    save(journal, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    for changed in ({"format": "durably-journal/9"}, {"entries": [{"type": "NEW", "payload": ""}]}, {"key": None}):
        path.write_text(json.dumps({**document, **changed} if "key" not in changed else []), encoding="utf-8")
        with pytest.raises(JournalError):
            load(path)
    with pytest.raises(UsageError, match="no journal to replay"):
        assert_replays(shop())
    with pytest.raises(UsageError, match="no handler Shop/order any more"):
        handler_for(SERVICES, journal)
    with pytest.raises(JournalError, match="not there"):
        journal_from_rows({"id": "inv_1x"}, [])
    row = {"entry_type": "Command: Dance", "raw": ""}
    with pytest.raises(JournalError, match="Dance"):
        journal_from_rows({"id": "inv_1x", "target_service_name": "S", "target_handler_name": "h"}, [row])


@pytest.mark.parametrize(("handler", "said"), [("other", None), ("elsewhere", "elsewhere")])
async def test_keys_of_random_numbers_without_the_seed(handler: str, said: str | None):
    """A real server does not tell the seed: a call to a key that was drawn is followed, one of another handler is not.

    With the seed the key is the same again, and is compared.
    """

    def services(name: str) -> list[durably.Service | durably.VirtualObject]:
        service, things = durably.Service("Draws"), durably.VirtualObject("Things")

        @service.handler()
        async def draw(ctx: durably.Context, fixed: str) -> None:
            ctx.generic_send("Things", name, b"", key=fixed or ctx.uuid().hex)

        async def take(ctx: durably.ObjectContext) -> None:
            """Do nothing."""

        for each in ("other", "elsewhere"):
            things.handler(name=each)(take)
        return [service, things]

    async with create_test_harness(services("other"), skip_time=True) as env:
        sent = await env.client.generic_send("Draws", "draw", b'""')
        await env.settle()
        journal = await record_journal(env, sent.invocation_id)
    without = replace(journal, random_seed=None)
    if said is None:
        assert_replays(services(handler), journal, without)
        with pytest.raises(AssertionError, match="key:"):
            assert_replays(services(handler), replace(journal, random_seed=(journal.random_seed or 0) + 1))
        return
    with pytest.raises(AssertionError, match=said):
        assert_replays(services(handler), without)
