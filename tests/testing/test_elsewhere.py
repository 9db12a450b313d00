"""Replays in another process: what that process is told, what it answers, and what it cannot import."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import durably
from durably.errors import DurablyError
from durably.testing import elsewhere
from durably.testing.elsewhere import replay_elsewhere
from durably.testing.harness import create_test_harness
from durably.testing.journals import RecordedJournal
from durably.testing.recording import record_journal
from tests.testing import shop

OTHER = """
import durably
service = durably.Service("Elsewhere")

@service.handler()
async def act(ctx: durably.Context) -> None:
    await ctx.run_typed("{step}", lambda: None)
"""


async def recorded(service: durably.Service, handler: str) -> RecordedJournal:
    """Record one invocation."""
    async with create_test_harness(service) as env:
        sent = await env.client.generic_send(service.name, handler, b"")
        await env.settle()
        return await record_journal(env, sent.invocation_id)


def answered(document: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Be the other process, within this one."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(document)))
    path = list(sys.path)
    elsewhere.main()
    assert sys.path == path
    return json.loads(capsys.readouterr().out.partition("durably-replay ")[2])


NEEDY = """
import durably
import needed_setup
assert needed_setup.ready, "imported too early"
service = durably.Service("Needy")

@service.handler()
async def act(ctx: durably.Context) -> None:
    await ctx.run_typed("step", lambda: None)
"""


async def test_a_framework_is_set_up_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What an adapter names in `__durably_setup__` is called before the module of a handler is imported."""
    setup = "ready = []\n__durably_setup__ = 'needed_setup:start'\ndef start():\n    ready.append(True)\n"
    (tmp_path / "needed_setup.py").write_text(setup, encoding="utf-8")
    (tmp_path / "needy.py").write_text(NEEDY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    needed = importlib.import_module("needed_setup")
    try:
        needed.start()
        service = importlib.import_module("needy").service
        journal = await recorded(service, "act")
        handlers = {journal.target: service.handlers["act"]}
        found = await asyncio.to_thread(replay_elsewhere, [journal], handlers, hash_seed=1)
        assert (found.mismatches, found.not_replayed) == ([], [])
        del needed.__durably_setup__
        with pytest.raises(DurablyError, match=r"(?s)imported too early.*processes=0"):
            await asyncio.to_thread(replay_elsewhere, [journal], handlers, hash_seed=1)
    finally:
        for name in ("needed_setup", "needy"):
            sys.modules.pop(name, None)


async def test_a_module_is_imported_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Journals of a module that is not on the path are replayed against its file, and a mismatch comes back."""
    for name, step in (("same_elsewhere", "step"), ("changed_elsewhere", "other")):
        (tmp_path / f"{name}.py").write_text(OTHER.format(step=step), encoding="utf-8")
    space: dict[str, Any] = {}
    exec(compile(OTHER.format(step="step"), "recorded.py", "exec", dont_inherit=True), space)
    journal = (await recorded(space["service"], "act")).to_json()

    def work(name: str) -> dict[str, object]:
        item = {"module": name, "file": str(tmp_path / f"{name}.py"), "journal": journal}
        return {"path": sys.path, "work": [item, item]}

    same = await asyncio.to_thread(answered, work("same_elsewhere"), monkeypatch, capsys)
    assert same == {"mismatches": [], "not_replayed": []}
    changed = await asyncio.to_thread(answered, work("changed_elsewhere"), monkeypatch, capsys)
    assert f"{tmp_path / 'changed_elsewhere.py'}:7" in changed["mismatches"][0]["location"]
    for name in ("same_elsewhere", "changed_elsewhere"):
        del sys.modules[name]


async def test_what_is_not_there_is_listed():
    """Handlers that are not known, and those whose module does not hold their service, are not replayed."""
    async with create_test_harness(shop.SERVICES) as env:
        sent = await env.client.send(shop.add, 1, key="a")
        await env.settle()
        journal = await record_journal(env, sent.invocation_id)
    assert replay_elsewhere([journal, journal], {}, hash_seed=1).not_replayed == ["Stock/add"]
    found = replay_elsewhere([journal], {"Stock/add": shop.stock.handlers["add"]}, hash_seed=1)
    assert (found.mismatches, found.not_replayed) == ([], [])


async def test_a_process_that_fails(monkeypatch: pytest.MonkeyPatch):
    """When the other process does not answer, its last words are in the error."""
    async with create_test_harness(shop.SERVICES) as env:
        sent = await env.client.send(shop.add, 1, key="a")
        await env.settle()
        journal = await record_journal(env, sent.invocation_id)
    monkeypatch.setattr(elsewhere, "__name__", "durably.no_such_module")
    with pytest.raises(DurablyError, match="no_such_module"):
        replay_elsewhere([journal], {"Stock/add": shop.stock.handlers["add"]}, hash_seed=1)
