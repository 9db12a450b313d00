"""Making an endpoint known to a runtime.

Owns the attempts: HTTP/2 first, because only that can stream, and HTTP/1.1 when the runtime cannot speak HTTP/2 to the
address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from durably.operations.connections import Remote
from durably.operations.errors import OperationError

__all__ = ["Registered", "register_deployment"]

_KNOWN: Final = 200
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Registered:
    """A deployment that is registered, or would be.

    Attributes:
        id: Of the deployment.
        http_version: What the runtime speaks to it.
        is_new: Whether something changed.
        is_second_choice: Whether HTTP/2 was tried in vain.
        services: `{"name", "type", "revision", "handlers"}` for each.
    """

    id: str
    http_version: str
    is_new: bool
    is_second_choice: bool
    services: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Give it as commands write it with `--json`."""
        return {"id": self.id, "http_version": self.http_version, "is_new": self.is_new, "services": self.services}


async def register_deployment(
    remote: Remote,
    url: str,
    *,
    force: bool,
    use_http_11: bool = False,
    breaking: bool = False,
    dry_run: bool = False,
) -> Registered:
    """Register an endpoint over HTTP/2, or else over HTTP/1.1.

    Raises:
        OperationError: The runtime refuses it, or cannot reach it.
        NotReachableError: The runtime cannot be reached.
    """
    refusals: list[str] = []
    is_conflict = False
    for http_11 in (True,) if use_http_11 else (False, True):
        body = {"uri": url, "force": force, "use_http_11": http_11, "breaking": breaking, "dry_run": dry_run}
        answer = await remote.admin("POST", "/deployments", body)
        if answer.is_success:
            document = answer.json()
            spoken = "HTTP/1.1" if http_11 else "HTTP/2"
            return Registered(
                document["id"], spoken, answer.status != _KNOWN, bool(refusals), [*map(_service, document["services"])]
            )
        refusals.append(answer.message)
        is_conflict = answer.status == _CONFLICT
        if 400 <= answer.status < 500:
            break  # it was understood, so that HTTP/1.1 changes nothing
    hint = None
    if is_conflict:
        hint = "Something else is registered at this address: --force replaces it."
    elif len(refusals) > 1 and refusals[0] != refusals[1]:
        hint = f"Over HTTP/2: {refusals[0]}"
    raise OperationError(f"{url} is not registered: {refusals[-1]}", hint=hint)


def _service(service: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": service["name"],
        "type": service["ty"],
        "revision": service["revision"],
        "handlers": [handler["name"] for handler in service["handlers"]],
    }
