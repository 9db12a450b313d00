"""The HTTP rules of a durable endpoint, for every framework.

Owns what a call and a poll are; the steps are `durably.web.performing`'s, which waits for nothing itself, and are
taken here: awaiting or blocking.

| the call asks for | what happens |
|---|---|
| nothing | it waits for the result |
| `Prefer: respond-async` | 202 with `Location`; the work goes on |
| `Prefer: wait=N` | it waits up to N seconds, then as above |
| `Idempotency-Key` | calls with the same key, by the same caller, are one invocation |
| a workflow whose run there is already | it waits for that run |

Nothing here raises because of what a caller sent.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from durably.errors import EngineStoppedError
from durably.web.operations import Operation, ask, ask_blocking
from durably.web.outcomes import Accepted, Done, Failed, Outcome, not_found, unavailable
from durably.web.performing import performing, polling

if TYPE_CHECKING:
    from durably.authoring.handlers import Handler
    from durably.web.link import Link

__all__ = [
    "Accepted",
    "Done",
    "EndpointCall",
    "Failed",
    "Outcome",
    "perform",
    "perform_blocking",
    "poll",
    "poll_blocking",
]


def _no_headers() -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCall:
    """An HTTP call of a durable endpoint, validated by the framework.

    Attributes:
        handler: What the endpoint runs.
        payload: Its input as JSON.
        key: Of the virtual object or workflow; None for a plain service, and for a workflow whose key is the
            idempotency key, or a random one.
        idempotency_key: The request's header as it came.
        identity: Who the caller is, as bytes that nobody else has; None where nobody is told apart.
        prefer: The request's header as it came; several are joined with commas.
        headers: Handed to the handler; credentials and headers of the connection are left out.
        root_path: Where the application is mounted, for `Location`.
    """

    handler: Handler
    payload: bytes = b""
    key: str | None = None
    idempotency_key: str | None = None
    identity: bytes | None = None
    prefer: str | None = None
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    root_path: str = ""


async def perform(link: Link, call: EndpointCall) -> Outcome:
    """Make the call.

    Raises:
        UsageError: The adapter called it wrongly, or the link belongs to another event loop.
    """
    try:
        facts, client = link.facts, link.client()
    except EngineStoppedError:
        return unavailable()
    return await ask(client, performing(facts, call))


def perform_blocking(link: Link, call: EndpointCall) -> Outcome:
    """Make the call; see `perform`."""
    try:
        facts, client = link.facts, link.sync_client()
    except EngineStoppedError:
        return unavailable()
    return ask_blocking(client, performing(facts, call))


async def poll(link: Link, token: str, prefer: str | None = None, root_path: str = "") -> Outcome:
    """Look for the result behind the last segment of a `Location`.

    Args:
        link: To the runtime.
        token: The segment, percent-decoded.
        prefer: The request's header: `wait=N` waits up to N seconds for the result.
        root_path: As in `EndpointCall`.
    """
    try:
        rules = _rules_of_poll(link, token, prefer, root_path)
        return not_found() if rules is None else await ask(link.client(), rules)
    except EngineStoppedError:
        return unavailable()


def poll_blocking(link: Link, token: str, prefer: str | None = None, root_path: str = "") -> Outcome:
    """Look for a result; see `poll`."""
    try:
        rules = _rules_of_poll(link, token, prefer, root_path)
        return not_found() if rules is None else ask_blocking(link.sync_client(), rules)
    except EngineStoppedError:
        return unavailable()


def _rules_of_poll(
    link: Link, token: str, prefer: str | None, root_path: str
) -> Generator[Operation, Any, Outcome] | None:
    facts = link.facts
    target = facts.tokens.read(token)
    if target is None:
        return None
    handler = link.endpoint.find(target.service, target.handler)
    return polling(facts, target, handler, f"{root_path.rstrip('/')}{facts.prefix}/results/{token}", prefer)
