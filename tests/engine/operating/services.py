"""Services that show what a server does with invocations: retention, retries, pinning, state, privacy.

Owns an ASGI application for a process of its own. Two environment variables say which it is:

    DURABLY_TEST_VERSION   what `version` answers; only `v1` fails in `Moody.work`
    DURABLY_TEST_MOOD      a file; while it exists, `Moody.work` does not fail in any version
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import durably

__all__ = ["app"]

VERSION = os.environ.get("DURABLY_TEST_VERSION", "v1")
MOOD = Path(os.environ.get("DURABLY_TEST_MOOD", "/nonexistent"))
FAILURES = 4
EXPIRY = timedelta(seconds=1)

tools = durably.Service("Tools")
private = durably.Service("Private", ingress_private=True)
moody = durably.Service(
    "Moody",
    invocation_retry_policy=durably.InvocationRetryPolicy(
        initial_interval=timedelta(milliseconds=1),
        max_interval=timedelta(milliseconds=5),
        max_attempts=FAILURES,
        on_max_attempts="pause",
    ),
)
cell = durably.VirtualObject("Cell")
errand = durably.Workflow("Errand")


def _in_good_mood() -> bool:
    return MOOD.exists()


@tools.handler()
async def echo(ctx: durably.Context, text: str) -> str:
    """Give back what came in."""
    return text


@tools.handler()
async def version(ctx: durably.Context) -> str:
    """Tell which deployment this is."""
    return VERSION


@tools.handler()
async def fail(ctx: durably.Context, text: str) -> str:
    """Fail for good, with metadata."""
    raise durably.TerminalError(text, status_code=418, metadata={"kind": "teapot"})


@tools.handler()
async def use_private(ctx: durably.Context, text: str) -> str:
    """Call what the ingress may not."""
    return await ctx.service_call(whisper, arg=text)


@private.handler()
async def whisper(ctx: durably.Context, text: str) -> str:
    """Answer other handlers only."""
    return text.lower()


@tools.handler()
async def nap(ctx: durably.Context) -> str:
    """Sleep for a moment."""
    await ctx.sleep(timedelta(milliseconds=20))
    return "rested"


@tools.handler(idempotency_retention=EXPIRY)
async def forgetful(ctx: durably.Context, text: str) -> str:
    """Answer with something new each time it runs."""
    return await ctx.run_typed("token", lambda: os.urandom(4).hex())


@moody.handler()
async def work(ctx: durably.Context, text: str) -> str:
    """Fail in `v1` while the mood is bad."""
    if VERSION == "v1" and not _in_good_mood():
        raise RuntimeError("in a bad mood")
    return f"{text} by {VERSION}"


@cell.handler()
async def put(ctx: durably.ObjectContext, text: str) -> str | None:
    """Replace the content; give the old one."""
    old = await ctx.get("content", type_hint=str)
    ctx.set("content", text)
    return old


@cell.handler(kind="shared")
async def look(ctx: durably.ObjectSharedContext) -> str | None:
    """Give the content."""
    return await ctx.get("content", type_hint=str)


@cell.handler()
async def await_word(ctx: durably.ObjectContext) -> str:
    """Wait for a word from outside; `word_id` tells how to send it."""
    name, word = ctx.awakeable(type_hint=str)
    ctx.set("word", name)
    return await word


@cell.handler(kind="shared")
async def word_id(ctx: durably.ObjectSharedContext) -> str | None:
    """Tell the awakeable of `await_word`, or nothing if there is none."""
    return await ctx.get("word", type_hint=str)


@cell.handler()
async def across_versions(ctx: durably.ObjectContext) -> list[str]:
    """Tell the version before and after waiting for a word, and that of a call made in between."""
    before = VERSION
    name, word = ctx.awakeable(type_hint=str)
    ctx.object_send(keep_word, key=ctx.key() + "-id", arg=name)
    said = await word
    return [before, said, await ctx.service_call(version, arg=None), VERSION]


@cell.handler()
async def keep_word(ctx: durably.ObjectContext, name: str) -> None:
    """Keep an awakeable's id for `word_id`."""
    ctx.set("word", name)


@cell.handler()
async def marked_step(ctx: durably.ObjectContext, text: str) -> list[str]:
    """Record one step with the mood of the moment, then tell the mood."""
    mood = "new" if _in_good_mood() else "old"
    recorded = await ctx.run_typed("mood", lambda: mood)
    return [recorded, mood]


@cell.handler()
async def every_kind(ctx: durably.ObjectContext, text: str) -> str:
    """Use state, a call, a send, a step, a sleep and an awakeable, one after the other."""
    old = await ctx.get("content", type_hint=str)
    ctx.set("content", text)
    echoed = await ctx.service_call(echo, arg=text)
    ctx.service_send(echo, arg="and good-bye")
    stepped = await ctx.run_typed("step", lambda: "stepped")
    await ctx.sleep(timedelta(milliseconds=5))
    name, word = ctx.awakeable(type_hint=str)
    ctx.resolve_awakeable(name, "word")
    ctx.clear("content")
    return " ".join([str(old), echoed, stepped, await word])


@errand.main()
async def run(ctx: durably.WorkflowContext, text: str) -> str:
    """Wait for a promise."""
    return text + " " + await ctx.promise("go", type_hint=str).value()


@errand.handler()
async def go(ctx: durably.WorkflowSharedContext, text: str) -> None:
    """Keep the promise."""
    await ctx.promise("go", type_hint=str).resolve(text)


app = durably.app([tools, private, moody, cell, errand])
