"""What a handler knows of its request, and the event that tells the end of the attempt."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

from durably import Context
from durably.authoring.request import AttemptFinishedEvent
from durably.authoring.sync_contexts import SyncContext
from durably.protocol.versions import content_type_of
from tests.authoring.playing import Play, run_once

second = timedelta(seconds=1)


def test_the_request(play: Play) -> None:
    """Id, body, headers of the caller and of the attempt; the keys of V7 are None when there are none."""

    def shown(ctx: Any) -> Any:
        request = ctx.request()
        return [
            request.id == ctx.invocation_id,
            request.body.decode(),
            request.headers,
            request.attempt_headers["content-type"],
            [request.scope, request.limit_key, request.idempotency_key],
            request.attempt_finished_event.is_set(),
        ]

    async def handle(ctx: Context, argument: str) -> Any:
        return shown(ctx)

    def handle_sync(ctx: SyncContext, argument: str) -> Any:
        return shown(ctx)

    played = play(handle, handle_sync, body=b'"input"')
    content_type = content_type_of(play.setting.version)
    assert played.result == [True, '"input"', {}, content_type, [None, None, None], False]


def test_replaying_is_visible(play: Play) -> None:
    """True until the recorded entries are behind the handler."""
    seen: list[list[bool]] = []

    async def handle(ctx: Context) -> None:
        states = [ctx.is_replaying]
        seen.append(states)
        await ctx.sleep(second)
        states.append(ctx.is_replaying)

    def handle_sync(ctx: SyncContext) -> None:
        states = [ctx.is_replaying]
        seen.append(states)
        ctx.sleep(second)
        states.append(ctx.is_replaying)

    played = play(handle, handle_sync, cuts=False)
    if len(played.attempts) > 1:
        assert seen == [[False], [True, False]]
    else:
        assert seen == [[False, False]]


def test_the_end_of_the_attempt_is_told() -> None:
    """To tasks that outlive the handler and to threads, whatever ended it."""
    told: list[str] = []

    async def main() -> None:
        from tests.authoring.playing import app_of
        from tests.runtime_model.runtime import Runtime

        background: list[asyncio.Task[None]] = []
        threads: list[threading.Thread] = []

        async def handle(ctx: Context) -> None:
            event = ctx.request().attempt_finished_event

            async def watch() -> None:
                await event.wait()
                told.append("task")

            def watch_in_thread() -> None:
                assert event.wait_blocking(5)
                told.append("thread")

            background.append(asyncio.create_task(watch()))
            threads.append(threading.Thread(target=watch_in_thread))
            threads[-1].start()
            assert not event.is_set()

        await Runtime(app_of(handle), "Played", "play").finish()
        await asyncio.gather(*background)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    asyncio.run(main())
    assert sorted(told) == ["task", "thread"]


def test_the_event_alone() -> None:
    """Waiting after it was set returns at once; a wait of a thread can be limited; a closed loop is no trouble."""
    event = AttemptFinishedEvent()
    assert event.wait_blocking(0.001) is False

    async def give_up() -> None:
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(give_up())  # its loop is closed when the event is set

    async def be_cancelled_meanwhile() -> None:
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        event.set()
        await asyncio.sleep(0)
        await event.wait()

    asyncio.run(be_cancelled_meanwhile())
    event.set()
    assert event.wait_blocking() is True
    late = AttemptFinishedEvent()
    late.set()
    assert late.wait_blocking() is True


def test_handlers_may_ask_in_any_flavour() -> None:
    """The event of a `def` handler is set as well."""
    events: list[AttemptFinishedEvent] = []

    def handle(ctx: SyncContext) -> None:
        events.append(ctx.request().attempt_finished_event)

    run_once(handle)
    assert events[0].is_set()
