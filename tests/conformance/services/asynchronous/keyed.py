"""The keyed stores of the contract: Counter, ListObject, MapObject and AwakeableHolder, with `async def` handlers.

Owns nothing but state under the object's key.
"""

from __future__ import annotations

from tests.conformance.services.contract import CounterUpdate, Entry
from tests.conformance.services.peer import restate

__all__ = ["services"]

counter = restate.VirtualObject("Counter")
list_object = restate.VirtualObject("ListObject")
map_object = restate.VirtualObject("MapObject")
awakeable_holder = restate.VirtualObject("AwakeableHolder")
services = (counter, list_object, map_object, awakeable_holder)


@counter.handler("add")
async def add(ctx: restate.ObjectContext, amount: int) -> CounterUpdate:
    """Add to the count and say what it was and is."""
    old = await ctx.get("counter", type_hint=int) or 0
    ctx.set("counter", old + amount)
    return {"oldValue": old, "newValue": old + amount}


@counter.handler("addThenFail")
async def add_then_fail(ctx: restate.ObjectContext, amount: int) -> None:
    """Add to the count, then fail with the object's key as the message."""
    await add(ctx, amount)
    raise restate.TerminalError(ctx.key())


@counter.handler("get", kind="shared")
async def get_count(ctx: restate.ObjectSharedContext) -> int:
    """Give the count."""
    return await ctx.get("counter", type_hint=int) or 0


@counter.handler("reset")
async def reset(ctx: restate.ObjectContext) -> None:
    """Forget the count."""
    ctx.clear("counter")


@list_object.handler("append")
async def append(ctx: restate.ObjectContext, item: str) -> None:
    """Put an item at the end of the list."""
    items = await ctx.get("list", type_hint=list[str]) or []
    ctx.set("list", [*items, item])


@list_object.handler("get")
async def get_list(ctx: restate.ObjectContext) -> list[str]:
    """Give the list."""
    return await ctx.get("list", type_hint=list[str]) or []


@list_object.handler("clear")
async def clear_list(ctx: restate.ObjectContext) -> list[str]:
    """Empty the list and give what it held."""
    items = await ctx.get("list", type_hint=list[str]) or []
    ctx.clear("list")
    return items


@map_object.handler("set")
async def set_entry(ctx: restate.ObjectContext, entry: Entry) -> None:
    """Store an entry under a state key of its own."""
    ctx.set(entry["key"], entry["value"])


@map_object.handler("get")
async def get_entry(ctx: restate.ObjectContext, key: str) -> str:
    """Give an entry's value, or an empty string."""
    return await ctx.get(key, type_hint=str) or ""


@map_object.handler("clearAll")
async def clear_all(ctx: restate.ObjectContext) -> list[Entry]:
    """Drop every entry and give what was stored."""
    entries: list[Entry] = [
        {"key": key, "value": await ctx.get(key, type_hint=str) or ""} for key in await ctx.state_keys()
    ]
    ctx.clear_all()
    return entries


@awakeable_holder.handler("hold")
async def hold(ctx: restate.ObjectContext, awakeable_id: str) -> None:
    """Remember an awakeable's id."""
    ctx.set("id", awakeable_id)


@awakeable_holder.handler("hasAwakeable")
async def has_awakeable(ctx: restate.ObjectContext) -> bool:
    """Tell whether an id is remembered."""
    return await ctx.get("id", type_hint=str) is not None


@awakeable_holder.handler("unlock")
async def unlock(ctx: restate.ObjectContext, payload: str) -> None:
    """Resolve the remembered awakeable; its id stays remembered."""
    awakeable_id = await ctx.get("id", type_hint=str)
    if awakeable_id is None:
        raise restate.TerminalError(f"No awakeable is held under {ctx.key()!r}")
    ctx.resolve_awakeable(awakeable_id, payload)
