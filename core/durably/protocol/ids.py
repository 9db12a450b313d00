"""Identifiers: of invocations, of awakeables and of deployments.

Owns the text forms and the bytes behind them. Two encodings occur:

* Invocations and deployments: a prefix, `_`, the scheme version `1`, then numbers in base 62 of a
  fixed width. The bytes of each number are reversed before it is written, so that identifiers
  which were made one after the other differ early.
* Awakeables: a prefix, `_1`, then base64url without padding over the raw identifier of the invocation
  that waits, followed by the index of its signal. They are bearer capabilities: whoever knows one
  can complete the awakeable.

Parsing accepts only what encoding writes, so that one identifier has one text form.

Source: service-invocation-protocol.md, "Awakeable identifier"; the runtime's identifier format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

__all__ = [
    "FIRST_SIGNAL_INDEX",
    "InvocationId",
    "awakeable_id",
    "deployment_id",
    "idempotent_uuid",
    "parse_awakeable_id",
    "parse_deployment_id",
    "workflow_uuid",
]

FIRST_SIGNAL_INDEX: Final = 17
"""The first signal index that an invocation gives away; lower ones are built in or reserved."""

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_U64_BYTES: Final = 8
_U128_BYTES: Final = 16
# The fewest base 62 digits that hold every number of that many bytes.
_WIDTHS: Final = {_U64_BYTES: 11, _U128_BYTES: 22}

_INVOCATION_PREFIX: Final = "inv_1"
_DEPLOYMENT_PREFIX: Final = "dp_1"
_AWAKEABLE_PREFIX: Final = "sign_1"
# Written by SDKs that spoke V1 to V3; runtimes still accept it.
_OLD_AWAKEABLE_PREFIX: Final = "prom_1"
_INDEX_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class InvocationId:
    """Identifies one invocation.

    Attributes:
        partition_key: 64 bits that say where the runtime keeps the invocation.
        uuid: 128 bits that are unique within the partition key.
    """

    partition_key: int
    uuid: int

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit their width with a `ValueError`."""
        if not (0 <= self.partition_key < 1 << 64 and 0 <= self.uuid < 1 << 128):
            raise ValueError("An invocation id is a partition key of 64 bits and a uuid of 128 bits.")

    @property
    def raw(self) -> bytes:
        """The 24 bytes that `Start.id` carries."""
        return self.partition_key.to_bytes(_U64_BYTES, "big") + self.uuid.to_bytes(_U128_BYTES, "big")

    def encode(self) -> str:
        """Write the text form: `inv_1` and 33 characters."""
        return _INVOCATION_PREFIX + _encode(self.partition_key, _U64_BYTES) + _encode(self.uuid, _U128_BYTES)

    @classmethod
    def decode(cls, text: str) -> InvocationId:
        """Read the text form.

        Raises:
            ValueError: It is not what `encode` writes.
        """
        digits = _without_prefix(text, _INVOCATION_PREFIX, _WIDTHS[_U64_BYTES] + _WIDTHS[_U128_BYTES], "invocation")
        split = _WIDTHS[_U64_BYTES]
        return cls(_decode(digits[:split], _U64_BYTES), _decode(digits[split:], _U128_BYTES))

    @classmethod
    def from_raw(cls, raw: bytes) -> InvocationId:
        """Read the bytes of `Start.id`.

        Raises:
            ValueError: There are not exactly 24.
        """
        if len(raw) != _U64_BYTES + _U128_BYTES:
            raise ValueError(f"A raw invocation id has 24 bytes, not {len(raw)}.")
        return cls(int.from_bytes(raw[:_U64_BYTES], "big"), int.from_bytes(raw[_U64_BYTES:], "big"))


def deployment_id(ulid: int) -> str:
    """Write the text form of a deployment's identifier: `dp_1` and 22 characters.

    Raises:
        OverflowError: The number has more than 128 bits or is negative.
    """
    return _DEPLOYMENT_PREFIX + _encode(ulid, _U128_BYTES)


def parse_deployment_id(text: str) -> int:
    """Read the number from a deployment's identifier.

    Raises:
        ValueError: It is not what `deployment_id` writes.
    """
    return _decode(_without_prefix(text, _DEPLOYMENT_PREFIX, _WIDTHS[_U128_BYTES], "deployment"), _U128_BYTES)


def awakeable_id(start_id: bytes, signal_index: int) -> str:
    """Write the identifier of an awakeable.

    Args:
        start_id: `Start.id` of the invocation that waits; opaque here, of any length.
        signal_index: Index of the signal that completes it, from `FIRST_SIGNAL_INDEX`.
    """
    content = start_id + signal_index.to_bytes(_INDEX_BYTES, "big")
    return _AWAKEABLE_PREFIX + base64.urlsafe_b64encode(content).decode().rstrip("=")


def parse_awakeable_id(text: str) -> tuple[bytes, int]:
    """Read an awakeable's identifier, new (`sign_1`) or old (`prom_1`).

    Returns:
        `Start.id` of the invocation that waits, and the signal's index; in the old form, which
        has no signals, the index of a journal entry.

    Raises:
        ValueError: It is neither form.
    """
    encoded = text.removeprefix(_AWAKEABLE_PREFIX)
    if encoded == text:
        encoded = text.removeprefix(_OLD_AWAKEABLE_PREFIX)
    if encoded == text:
        raise ValueError(f"An awakeable id starts with `sign_1`: {text[:60]!r}.")
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"An awakeable id is written in base64url: {text[:60]!r}.") from error
    if len(content) <= _INDEX_BYTES or base64.urlsafe_b64encode(content).decode().rstrip("=") != encoded:
        raise ValueError(f"An awakeable id holds an invocation and an index: {text[:60]!r}.")
    return content[:-_INDEX_BYTES], int.from_bytes(content[-_INDEX_BYTES:], "big")


def workflow_uuid(service: str, key: str, *, scope: str | None = None) -> int:
    """Derive the uuid of a workflow's run, so that one key has one run."""
    return _derive("wf", scope, service, key)


def idempotent_uuid(
    service: str, handler: str, idempotency_key: str, *, key: str | None = None, scope: str | None = None
) -> int:
    """Derive the uuid of an idempotent invocation, so that a repeated request finds the first one.

    Args:
        service: Name of the service.
        handler: Name of the handler.
        idempotency_key: As the caller gave it.
        key: Key of the object; None for a plain service.
        scope: Scope of the target, or None.
    """
    return _derive("ik", scope, service, key, handler, idempotency_key)


def _derive(*fields: str | None) -> int:
    joined = ",".join(field for field in fields if field is not None)
    return int.from_bytes(hashlib.sha256(joined.encode()).digest()[:_U128_BYTES], "big")


def _encode(number: int, size: int) -> str:
    rest = int.from_bytes(number.to_bytes(size, "big"), "little")
    digits: list[str] = []
    for _ in range(_WIDTHS[size]):
        rest, digit = divmod(rest, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _decode(digits: str, size: int) -> int:
    number = 0
    for character in digits:
        value = _DIGITS.get(character)
        if value is None:
            raise ValueError(f"An id has only letters and digits after its prefix: {digits!r}.")
        number = number * 62 + value
    if number >> (8 * size):
        raise ValueError(f"A number in an id has more than {8 * size} bits: {digits!r}.")
    return int.from_bytes(number.to_bytes(size, "little"), "big")


def _without_prefix(text: str, prefix: str, width: int, kind: str) -> str:
    digits = text.removeprefix(prefix)
    if digits == text or len(digits) != width:
        raise ValueError(f"The id of a {kind} is `{prefix}` and {width} characters: {text[:60]!r}.")
    return digits
