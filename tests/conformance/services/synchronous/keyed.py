"""The keyed stores of the contract: Counter, ListObject, MapObject and AwakeableHolder, with plain `def` handlers.

Owns nothing but state under the object's key.
"""

from __future__ import annotations

import durably
from tests.conformance.services.contract import CounterUpdate, Entry

__all__ = ["services"]

counter = durably.VirtualObject("Counter")
list_object = durably.VirtualObject("ListObject")
map_object = durably.VirtualObject("MapObject")
awakeable_holder = durably.VirtualObject("AwakeableHolder")
services = (counter, list_object, map_object, awakeable_holder)


@counter.handler("add")
def add(ctx: durably.SyncObjectContext, amount: int) -> CounterUpdate:
    """Add to the count and say what it was and is."""
    old = ctx.get("counter", type_hint=int) or 0
    ctx.set("counter", old + amount)
    return {"oldValue": old, "newValue": old + amount}


@counter.handler("addThenFail")
def add_then_fail(ctx: durably.SyncObjectContext, amount: int) -> None:
    """Add to the count, then fail with the object's key as the message."""
    add(ctx, amount)
    raise durably.TerminalError(ctx.key())


@counter.handler("get", kind="shared")
def get_count(ctx: durably.SyncObjectSharedContext) -> int:
    """Give the count."""
    return ctx.get("counter", type_hint=int) or 0


@counter.handler("reset")
def reset(ctx: durably.SyncObjectContext) -> None:
    """Forget the count."""
    ctx.clear("counter")


@list_object.handler("append")
def append(ctx: durably.SyncObjectContext, item: str) -> None:
    """Put an item at the end of the list."""
    items = ctx.get("list", type_hint=list[str]) or []
    ctx.set("list", [*items, item])


@list_object.handler("get")
def get_list(ctx: durably.SyncObjectContext) -> list[str]:
    """Give the list."""
    return ctx.get("list", type_hint=list[str]) or []


@list_object.handler("clear")
def clear_list(ctx: durably.SyncObjectContext) -> list[str]:
    """Empty the list and give what it held."""
    items = ctx.get("list", type_hint=list[str]) or []
    ctx.clear("list")
    return items


@map_object.handler("set")
def set_entry(ctx: durably.SyncObjectContext, entry: Entry) -> None:
    """Store an entry under a state key of its own."""
    ctx.set(entry["key"], entry["value"])


@map_object.handler("get")
def get_entry(ctx: durably.SyncObjectContext, key: str) -> str:
    """Give an entry's value, or an empty string."""
    return ctx.get(key, type_hint=str) or ""


@map_object.handler("clearAll")
def clear_all(ctx: durably.SyncObjectContext) -> list[Entry]:
    """Drop every entry and give what was stored."""
    entries: list[Entry] = [{"key": key, "value": ctx.get(key, type_hint=str) or ""} for key in ctx.state_keys()]
    ctx.clear_all()
    return entries


@awakeable_holder.handler("hold")
def hold(ctx: durably.SyncObjectContext, awakeable_id: str) -> None:
    """Remember an awakeable's id."""
    ctx.set("id", awakeable_id)


@awakeable_holder.handler("hasAwakeable")
def has_awakeable(ctx: durably.SyncObjectContext) -> bool:
    """Tell whether an id is remembered."""
    return ctx.get("id", type_hint=str) is not None


@awakeable_holder.handler("unlock")
def unlock(ctx: durably.SyncObjectContext, payload: str) -> None:
    """Resolve the remembered awakeable; its id stays remembered."""
    awakeable_id = ctx.get("id", type_hint=str)
    if awakeable_id is None:
        raise durably.TerminalError(f"No awakeable is held under {ctx.key()!r}")
    ctx.resolve_awakeable(awakeable_id, payload)
