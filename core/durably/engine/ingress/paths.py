r"""Which operation a path of the ingress means.

Owns the route table. Paths are matched as they were sent, split at `/` before anything is decoded; then keys and
idempotency keys are percent-decoded once. So a key may hold any text, `a/b?c#d`, `..` and NUL too. Names of services
and handlers are never decoded: they need no escape.

| path, after `/restate` where it starts with that | route |
|---|---|
| `/{service}/{handler}[/send]`, `/{service}/{key}/{handler}[/send]` | `InvokeRoute`, see `InvokeRoute.of_service` |
| `/restate/call\|send/…`, `/restate/scope/{scope}/call\|send/…` | `InvokeRoute` |
| `/restate/attach\|output/{id}`, `/restate/invocation/{id}/attach\|output` | `ResultRoute` |
| `/restate/invocation/{service}[/{key}]/{handler}/{idempotency key}/attach\|output` | `ResultRoute` |
| `/restate/workflow/{name}/{key}/attach\|output` | `ResultRoute` |
| `/restate/attach`, `/restate/output`, `/restate/lookup` | `TargetRoute`: the body says which invocation |
| `/restate/awakeables/{id}/resolve\|reject`, `/restate/a/…` | `AwakeableRoute` |
| `/restate/health` | `HealthRoute` |

Slashes at the start and at the end are ignored. Source: the real server's ingress, observed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from durably.engine.events import IdempotentSelector, InvocationSelector, Selector, WorkflowSelector
from durably.engine.ingress.refusals import RefusedError

__all__ = [
    "AwakeableRoute",
    "HealthRoute",
    "InvokeRoute",
    "ResultRoute",
    "Route",
    "TargetAction",
    "TargetRoute",
    "decode_key",
    "parse_path",
]

_MIN_SEGMENTS: Final = 2
_MAX_SEGMENTS: Final = 7
_EXPECTED_INVOKE: Final = "expected /{service}/{handler} or /{object}/{key}/{handler}, each also with /send"
_EXPECTED_NEW: Final = (
    "expected /restate/call/… or /restate/send/… followed by {service}/{handler} or {object}/{key}/{handler}"
)
_EXPECTED_RESULT: Final = (
    "expected /restate/invocation/{id}/attach or /restate/invocation/{service}[/{key}]/{handler}/{idempotency key}"
    "/attach; or /output in place of /attach"
)
_EXPECTED_WORKFLOW: Final = "expected /restate/workflow/{name}/{key}/attach or /restate/workflow/{name}/{key}/output"
_EXPECTED_AWAKEABLE: Final = "expected /restate/awakeables/{id}/resolve or /restate/awakeables/{id}/reject"


@dataclass(frozen=True, slots=True)
class InvokeRoute:
    """A call or a send.

    Attributes:
        service: Name of the service.
        rest: Raw segments after it: key and handler, or handler alone; in the old style with `send` at the end.
        is_send: True or False in the new style; None where the old style leaves it to `rest`.
        scope: Of the new style, raw, or None.
    """

    service: str
    rest: tuple[str, ...]
    is_send: bool | None = None
    scope: str | None = None

    def of_service(self, *, keyed: bool) -> tuple[str, str, bool]:
        """Read key, handler and whether it is a send, once it is known whether the service has keys.

        Returns:
            The key decoded, "" for plain services; the handler; whether to send.

        Raises:
            RefusedError: The segments do not fit, or the key is no text.
        """
        rest, is_send = self.rest, self.is_send
        length = 2 if keyed else 1
        if is_send is None and len(rest) == length + 1 and rest[-1] == "send":
            rest, is_send = rest[:-1], True
        if len(rest) != length:
            raise RefusedError(400, f"bad path, {_EXPECTED_INVOKE if self.is_send is None else _EXPECTED_NEW}")
        return (decode_key(rest[0]) if keyed else ""), rest[-1], bool(is_send)


@dataclass(frozen=True, slots=True)
class ResultRoute:
    """The result of an invocation.

    Attributes:
        waits: Whether to wait for it (attach) or to look (output).
        selector: Which invocation; None where `rest` says so.
        service: With `rest`, name of the service.
        rest: Raw segments after the service: key if it has keys, handler, idempotency key.
    """

    waits: bool
    selector: Selector | None
    service: str = ""
    rest: tuple[str, ...] = ()

    def of_service(self, *, keyed: bool) -> Selector:
        """Read `rest`, once it is known whether the service has keys.

        Raises:
            RefusedError: The segments do not fit, or a key is no text.
        """
        if len(self.rest) != (3 if keyed else 2):
            raise RefusedError(400, f"bad path, {_EXPECTED_RESULT}")
        key = decode_key(self.rest[0]) if keyed else ""
        return IdempotentSelector(self.service, key, self.rest[-2], decode_key(self.rest[-1]))


class TargetAction(enum.Enum):
    """What to do with the invocation that the body names."""

    ATTACH = "attach"
    OUTPUT = "output"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True)
class TargetRoute:
    """An operation on the invocation that the body names."""

    action: TargetAction


@dataclass(frozen=True, slots=True)
class AwakeableRoute:
    """Complete an awakeable.

    Attributes:
        awakeable_id: As sent.
        resolves: Whether with a value or with a failure.
    """

    awakeable_id: str
    resolves: bool


@dataclass(frozen=True, slots=True)
class HealthRoute:
    """Whether the ingress answers, and for which services."""


Route = InvokeRoute | ResultRoute | TargetRoute | AwakeableRoute | HealthRoute


def parse_path(raw_path: str) -> Route:
    """Say what a path means.

    Args:
        raw_path: As sent, without the query.

    Raises:
        RefusedError: It means nothing.
    """
    segments = raw_path.strip("/").split("/")
    if not _MIN_SEGMENTS <= len(segments) <= _MAX_SEGMENTS:
        raise RefusedError(400, f"bad path: {raw_path[:200]}")
    if segments[0] != "restate":
        return InvokeRoute(segments[0], tuple(segments[1:]))
    match segments[1:]:
        case ["health"]:
            return HealthRoute()
        case ["call" | "send" as mode, service, *rest] if rest:
            return InvokeRoute(service, tuple(rest), mode == "send")
        case ["scope", scope, "call" | "send" as mode, service, *rest] if rest:
            return InvokeRoute(service, tuple(rest), mode == "send", scope)
        case ["call" | "send" | "scope", *_]:
            raise RefusedError(400, f"bad path, {_EXPECTED_NEW}")
        case ["attach" | "output" | "lookup" as action]:
            return TargetRoute(TargetAction(action))
        case ["attach" | "output" as action, invocation_id]:
            return ResultRoute(action == "attach", InvocationSelector(invocation_id))
        case ["invocation", *rest]:
            return _invocation(rest)
        case ["workflow", *rest]:
            return _workflow(rest)
        case ["awakeables" | "a", *rest]:
            return _awakeable(rest)
        case _:
            raise RefusedError(404, "not found")


def decode_key(raw: str) -> str:
    """Percent-decode a segment once; `%` before anything but two hexadecimal digits stands for itself.

    Raises:
        RefusedError: It is no UTF-8.
    """
    if "%" not in raw:
        return raw
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"bad path, cannot decode key: not UTF-8 at byte {error.start}") from error


def _invocation(rest: list[str]) -> Route:
    if len(rest) < 2:
        raise RefusedError(400, f"bad path, {_EXPECTED_RESULT}")
    waits = _waits(rest[-1])
    if len(rest) == 2:
        return ResultRoute(waits, InvocationSelector(rest[0]))
    return ResultRoute(waits, None, rest[0], tuple(rest[1:-1]))


def _workflow(rest: list[str]) -> Route:
    if len(rest) != 3:
        raise RefusedError(400, f"bad path, {_EXPECTED_WORKFLOW}")
    return ResultRoute(_waits(rest[2]), WorkflowSelector(rest[0], decode_key(rest[1])))


def _awakeable(rest: list[str]) -> Route:
    if len(rest) != 2:
        raise RefusedError(400, f"bad path, {_EXPECTED_AWAKEABLE}")
    if rest[1] not in ("resolve", "reject"):
        raise RefusedError(404, "not found")
    return AwakeableRoute(rest[0], rest[1] == "resolve")


def _waits(word: str) -> bool:
    if word not in ("attach", "output"):
        raise RefusedError(404, "not found")
    return word == "attach"
