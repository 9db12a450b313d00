"""Asks a deployment for its manifest.

Owns the request, what is asked again, the limits, and the texts of the failures. Of what a deployment answers only
the status is ever shown: an address that someone else chose must not become a way to read other services.

| answer | result |
|---|---|
| 200 | the manifest, not looked at yet |
| 408, 429, 500, 502, 503, 504, no connection | asked again, three times in all |
| a refused address, broken HTTP | META0003 at once |
| 404 | META0003, with the likely cause |
| other, redirects too | META0003 |
| HTTP/1.1 where HTTP/2 was spoken | META0014 |
| HTTP/1.0 | META0015 |
| over 1 MiB, over 5 s | META0003 |

Source: service protocol, "Discovery manifest, Negotiation".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from durably.engine.transport.contract import (
    AttemptStream,
    DiscoveryError,
    DiscoveryResult,
    FailureKind,
    HttpVersionError,
    ResponseHead,
    Transport,
    TransportError,
)

__all__ = ["ACCEPT", "MAX_MANIFEST_BYTES", "fetch_manifest"]

ACCEPT: Final = ", ".join(f"application/vnd.restate.endpointmanifest.v{version}+json" for version in range(1, 5))
MAX_MANIFEST_BYTES: Final = 1024 * 1024
_TIME_LIMIT_S: Final = 5.0  # for one try
_PAUSES_S: Final = (0.1, 0.4)  # before the second and the third try
_ASKED_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})

_HINTS: Final = {
    401: "Does it want signed requests? It then needs the public key of this engine's `HttpOptions.identity`.",
    404: "Give the address under which the endpoint is mounted, prefix included, as http://host:9080/restate.",
    415: "The deployment's SDK reads none of the manifest versions 1 to 4: use a release that is closer to this one.",
    500: "The deployment's own log says why; an option that is newer than manifest version 4 is a common cause.",
}


async def fetch_manifest(
    transport: Transport,
    headers: Sequence[tuple[str, str]] = (),
    *,
    time_limit_s: float = _TIME_LIMIT_S,
    pauses_s: Sequence[float] = _PAUSES_S,
) -> DiscoveryResult:
    """Ask for the manifest.

    Args:
        transport: The way to the deployment.
        headers: Sent along, for example the deployment's own `authorization`.
        time_limit_s: For each try.
        pauses_s: Before each further try.

    Raises:
        DiscoveryError: There is none to be had.
    """
    pauses = iter((*pauses_s, None))
    while True:
        try:
            async with asyncio.timeout(time_limit_s):
                head, body = await _ask(transport, headers)
        except HttpVersionError as error:
            raise DiscoveryError(error.message, code=error.discovery_code, hint=error.hint) from error
        except TransportError as error:
            text = f"The deployment cannot be reached: {error.message}"
            failure = DiscoveryError(text, code="META0003", hint=error.hint)
            failure.__cause__ = error
            if error.kind is FailureKind.VIOLATION:
                raise failure from error  # asking again changes nothing
        except TimeoutError:
            text = f"The deployment did not answer within {time_limit_s:g} s."
            failure = DiscoveryError(text, code="META0003", hint="Is the address right, and nothing in between?")
        else:
            if head.status == 200:
                return DiscoveryResult(body, head.header("content-type") or "", head.http_version, head.server)
            failure = _failure_of(head.status)
            if head.status not in _ASKED_AGAIN:
                raise failure
        pause_s = next(pauses)
        if pause_s is None:
            raise failure
        await asyncio.sleep(pause_s)


async def _ask(transport: Transport, headers: Sequence[tuple[str, str]]) -> tuple[ResponseHead, bytes]:
    stream = await transport.open("/discover", [("accept", ACCEPT), *headers], streaming=False, method="GET")
    try:
        await stream.half_close()
        head = await stream.response()
        body = await _read(stream) if head.status == 200 else b""
    except BaseException:
        await stream.abort()
        raise
    if head.status != 200:
        await stream.abort()
    return head, body


async def _read(stream: AttemptStream) -> bytes:
    parts: list[bytes] = []
    missing = MAX_MANIFEST_BYTES
    while (part := await stream.receive()) is not None:
        missing -= len(part)
        if missing < 0:
            raise DiscoveryError(
                f"The deployment's manifest is longer than {MAX_MANIFEST_BYTES} bytes.",
                code="META0003",
                hint="Is this the address of an endpoint? Large JSON schemas can be left out of it.",
            )
        parts.append(part)
    return b"".join(parts)


def _failure_of(status: int) -> DiscoveryError:
    hint = _HINTS.get(status)
    if 300 <= status < 400:
        hint = "Redirects are not followed: give the address that it redirects to."
    return DiscoveryError(f"The deployment answered discovery with HTTP status {status}.", code="META0003", hint=hint)
