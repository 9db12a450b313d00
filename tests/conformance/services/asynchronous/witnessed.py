"""The witness, an object whose attempts and steps are written down outside of its journal, with `async def` handlers.

Owns the work that is watched: steps with pauses in between.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from tests.conformance.services.peer import restate
from tests.conformance.services.witnessing import STEPS, attending, stepped

__all__ = ["services"]

witness = restate.VirtualObject("Witness")
services = (witness,)


@witness.handler("act")
async def act(ctx: restate.ObjectContext) -> list[str]:
    """Do some steps and give what they returned."""
    invocation_id = ctx.request().id
    tokens: list[str] = []
    with attending(f"Witness/{ctx.key()}", invocation_id):
        for step in range(STEPS):
            tokens.append(await ctx.run_typed("step", partial(stepped, f"{invocation_id}-{step}")))
            await ctx.sleep(timedelta(milliseconds=2))
    return tokens
