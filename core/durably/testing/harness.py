"""The test harness: an application, a runtime that knows it, and a client.

Owns the choice of the runtime: the embedded engine in this process and in memory, which starts in milliseconds and
needs neither network nor container; or, by a flag, a real `restate-server`, which needs its binary and the extra
`harness`. The same test runs on both, as long as it does not ask for what only the embedded engine can do.

    async with durably.create_test_harness([greeter]) as env:
        assert await env.client.call(greet, "Ada") == "Hello Ada"
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from durably.errors import UsageError
from durably.testing.applications import Tested, tested
from durably.testing.blocking import BlockingHarness
from durably.testing.effects import Effects
from durably.testing.embedded import EmbeddedEnvironment, EmbeddedHarness
from durably.testing.options import HarnessOptions, runs_on_server
from durably.testing.served import ALWAYS_REPLAY, NO_RETRIES, AppServer, RestateTestHarness
from durably.types import HarnessEnvironment

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
    from durably.engine.options import EngineOptions

__all__ = [
    "AppServer",
    "RestateTestHarness",
    "blocking_test_harness",
    "create_test_harness",
    "test_harness",
]

_IMAGE = "docker.io/restatedev/restate:latest"


def blocking_test_harness(
    app_or_services: Any,
    follow_logs: bool = False,
    restate_image: str = _IMAGE,
    always_replay: bool = False,
    disable_retries: bool = False,
    *,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    skip_time: bool = False,
    shuffle: int | None = None,
    engine: EngineOptions | None = None,
    effects: Effects | None = None,
    on_crash: Callable[[], None] | None = None,
    server: bool | None = None,
) -> BlockingHarness:
    """Make a harness for tests that do not await; `create_test_harness` says what the arguments mean.

    With `server=True` it is a `RestateTestHarness`, which has `start`, `stop`, `ingress_client` and `with` as well.
    """
    options = HarnessOptions(
        always_replay=always_replay,
        disable_retries=disable_retries,
        skip_time=skip_time,
        shuffle=shuffle,
        engine=engine,
        on_crash=on_crash,
    )
    what = tested(app_or_services, journal_value_codec)
    if runs_on_server(server):
        return cast("BlockingHarness", _served(what, options, follow_logs=follow_logs))
    return BlockingHarness(what, options, effects)


test_harness = blocking_test_harness
"""The name that restate-sdk gives it. pytest takes it for a test in modules that import it by this name."""
blocking_test_harness.__test__ = False  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]


@asynccontextmanager
async def create_test_harness(
    app_or_services: Any,
    follow_logs: bool = False,
    restate_image: str = _IMAGE,
    always_replay: bool = False,
    disable_retries: bool = False,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    *,
    skip_time: bool = False,
    shuffle: int | None = None,
    engine: EngineOptions | None = None,
    effects: Effects | None = None,
    on_crash: Callable[[], None] | None = None,
    server: bool | None = None,
) -> AsyncGenerator[EmbeddedEnvironment]:
    """Run an application and a runtime that knows it, for the time of an `async with` block.

    Args:
        app_or_services: An ASGI application as `durably.app` makes it, services, or an adapter's object.
        follow_logs: Copy the real server's log to stderr; the embedded engine logs as the application does.
        restate_image: Accepted for code written for containers, and not used: there is no container here.
        always_replay: Suspend at every wait, so that each one is followed by a replay; finds handlers that are not
            deterministic.
        disable_retries: Fail an invocation at its first failed attempt.
        journal_value_codec: The codec of an application that does not tell its own.
        skip_time: Let the clock jump to the next timer whenever a call is waited for and nothing else is left to do.
        shuffle: Seed by which completions change their order.
        engine: Timeouts, retries and limits of the engine; None takes those for tests.
        effects: The record of effects; None makes a new one.
        on_crash: Called after each crash that the harness caused.
        server: True runs on a real server, False on the embedded engine; None goes by `DURABLY_TEST_SERVER`.

    Raises:
        HandlerFaultError: At the end: a handler did not follow its journal, or swallowed the signal that ended its
            attempt.
        UsageError: It was given what cannot run, or an option that a real server does not have.
        ServerNotFoundError: A real server is asked for, and no `restate-server` binary was found.
        MissingExtraError: A real server is asked for, and hypercorn or httpx is not installed.
    """
    options = HarnessOptions(
        always_replay=always_replay,
        disable_retries=disable_retries,
        skip_time=skip_time,
        shuffle=shuffle,
        engine=engine,
        on_crash=on_crash,
    )
    what = tested(app_or_services, journal_value_codec)
    if not runs_on_server(server):
        async with EmbeddedHarness(what, options, effects) as environment:
            yield environment
        return
    from durably.client.aio import create_client

    harness = _served(what, options, follow_logs=follow_logs)
    try:
        await asyncio.to_thread(harness.start)
        ingress_url = harness.server.ingress_url
        codec = await what.codec.get()
        async with create_client(ingress_url, journal_value_codec=codec) as client:
            served = HarnessEnvironment(ingress_url=ingress_url, admin_api_url=harness.server.admin_url, client=client)
            yield cast("EmbeddedEnvironment", served)
    finally:
        await asyncio.to_thread(harness.stop)


def _served(what: Tested, options: HarnessOptions, *, follow_logs: bool) -> RestateTestHarness:
    asked = {"skip_time": options.skip_time, "shuffle": options.shuffle is not None, "engine": options.engine}
    refused = [name for name, value in asked.items() if value]
    if refused:
        raise UsageError(
            f"A real server does not have {', '.join(refused)}.", hint="Run this test on the embedded engine."
        )
    settings = {**(ALWAYS_REPLAY if options.always_replay else {}), **(NO_RETRIES if options.disable_retries else {})}
    return RestateTestHarness(what.app, follow_logs=follow_logs, settings=settings)
