"""Pages of invocations, filters and operations, on a real server, an engine with open ports, and an engine's file."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from durably.client.requests import CallTarget, call_request
from durably.errors import UsageError
from durably.operations.connections import Remote, choose, connect
from durably.operations.errors import NotFoundError
from durably.operations.invocations import Filters, Operation, Status, apply, read_one, read_page
from durably.operations.journals import read_journal
from tests.cli.conftest import Place


@asynccontextmanager
async def remote_of(place: Place) -> AsyncGenerator[Remote]:
    """Connect as the options of the command line say."""
    given = dict(zip((each[2:].replace("-", "_") for each in place.options[::2]), place.options[1::2], strict=True))
    async with connect(choose(**given)) as remote:
        yield remote


async def send(remote: Remote, handler: str, body: object = None, *, key: str | None = None, once: str = "") -> str:
    """Start an invocation, and give its id."""
    service = "Carts" if key is not None else "Orders"
    target = CallTarget(service=service, handler=handler, key=key, idempotency_key=once or None)
    content = b"" if body is None else json.dumps(body).encode()
    request = call_request(target, content, "application/json" if content else None, {}, send=True)
    answer = await remote.ingress(request.method, request.path, request.content, list(request.headers.items()))
    return str(answer.json()["invocationId"])


async def until(found: Callable[[], Awaitable[Any]]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(40):
        while not await found():  # noqa: ASYNC110 - another process knows
            await asyncio.sleep(0.02)


async def test_pages_go_through_all_and_back(place: Place):
    """Each invocation is on one page, newest first; going back shows the same pages, whatever started meanwhile."""
    key = f"o'hara {uuid.uuid4()}"
    async with remote_of(place) as remote:
        sent = [await send(remote, "add", number, key=key) for number in range(7)]
        mine = Filters(text=key)

        async def page(**edge: str | None) -> tuple[list[str], Any]:
            found = await read_page(remote, mine, size=3, **edge)
            return [row["id"] for row in found.rows], found

        first, on_first = await page()
        second, on_second = await page(before=on_first.older)
        third, on_third = await page(before=on_second.older)
        assert [len(first), len(second), len(third)] == [3, 3, 1]
        assert sorted([*first, *second, *third]) == sorted(sent)
        if place.name != "server":  # which may give several the same time
            assert [*first, *second, *third] == sent[::-1]
        assert (on_first.newer, on_third.older) == (None, None)
        late = await send(remote, "add", 1, key=key)
        assert (await page(after=on_third.newer))[0] == second
        back, on_back = await page(after=on_second.newer)
        assert back == first
        assert (await page(after=on_back.newer))[0] == [late, *first[:2]]


async def test_filters_and_search(place: Place):
    """By status, service and handler; by id, by part of a key with signs of SQL, and of an idempotency key."""
    mark = uuid.uuid4().hex
    async with remote_of(place) as remote:
        waiting = await send(remote, "wait", once=f"once-{mark}")
        cart = await send(remote, "add", 1, key=f"100%_'{mark}")

        async def ids(**filters: Any) -> list[str]:
            return [row["id"] for row in (await read_page(remote, Filters(**filters), size=50)).rows]

        assert await ids(text=waiting) == [waiting]
        assert await ids(text=f"once-{mark[:20]}") == [waiting]
        assert await ids(text=f"%_'{mark}") == [cart]
        assert await ids(text=f"__'{mark}") == []
        assert cart not in await ids(service="Orders")
        assert cart in await ids(service="Carts", handler="add", key=f"100%_'{mark}")

        async def waits() -> bool:
            return waiting in await ids(statuses=(Status.RUNNING, Status.SUSPENDED), text=waiting)

        await until(waits)
        assert await ids(statuses=(Status.COMPLETED,), text=waiting) == []


async def test_one_is_cancelled_and_many_are_reported_one_by_one(place: Place):
    """Each that is refused says why; an unknown one alone is an error; what is no id never reaches the runtime."""
    async with remote_of(place) as remote:
        first, second = await send(remote, "wait"), await send(remote, "wait")
        assert (await apply(remote, Operation.CANCEL, [first])).succeeded == [first]

        async def is_over() -> bool:
            row = await read_one(remote, first)
            return (row["status"], row["completion_result"]) == ("completed", "failure")

        await until(is_over)
        done: list[int] = []
        applied = await apply(remote, Operation.KILL, [first, second], advance=done.append)
        assert (applied.succeeded, [each["invocation_id"] for each in applied.failed], done) == ([second], [first], [2])
        [restarted] = (await apply(remote, Operation.RESTART, [first])).succeeded
        assert restarted["old_invocation_id"] == first
        assert (await read_one(remote, restarted["new_invocation_id"]))["status"] != "completed"
        await apply(remote, Operation.KILL, [restarted["new_invocation_id"]])
        assert (await apply(remote, Operation.PURGE, [second])).failed == []
        with pytest.raises(NotFoundError):
            await read_one(remote, second)
        with pytest.raises(NotFoundError):
            await apply(remote, Operation.CANCEL, [second])
        with pytest.raises(UsageError):
            await apply(remote, Operation.CANCEL, ["../deployments"])


async def test_a_place_in_the_list_is_checked(place: Place):
    """What did not come from a page is refused, before it is asked for."""
    async with remote_of(place) as remote:
        for edge in ("", "1; DROP", "x" * 300, "٣"):
            with pytest.raises(UsageError):
                await read_page(remote, Filters(), size=1, before=edge)


async def test_a_journal_is_read_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Small parts give the same lines as one; the end can be left out; values are cut where it is asked."""
    async with remote_of(place) as remote:
        invocation = await send(remote, "place", "sku-" + "x" * 300)

        async def is_over() -> bool:
            return (await read_one(remote, invocation))["status"] == "completed"

        await until(is_over)
        whole = await read_journal(remote, invocation, most_chars=1000)
        monkeypatch.setattr("durably.operations.journals._PART_BYTES", 1)
        assert await read_journal(remote, invocation, most_chars=1000) == whole
        assert [line.kind for line in whole.lines] == ["input", "run", "call", "output"]
        assert whole.lines[1].result == f'"charged sku-{"x" * 300}"'
        assert not whole.is_cut
        part = await read_journal(remote, invocation, most_entries=2, most_chars=10)
        assert (part.is_cut, [line.kind for line in part.lines]) == (True, ["input", "run"])
        assert part.lines[0].result == '"sku-xxxxx… (306 bytes)'
        for unknown in ("inv_nonsense", invocation[:-4] + "zzzz", "'no such'"):
            assert (await read_journal(remote, unknown)).lines == []
            assert (await read_page(remote, Filters(text=unknown), size=1)).rows == []
            with pytest.raises(NotFoundError):
                await read_one(remote, unknown)
        monkeypatch.setattr("durably.operations.journals._MOST_BYTES", 10)
        cut = await read_journal(remote, invocation)
        assert "too large" in cut.lines[0].what
