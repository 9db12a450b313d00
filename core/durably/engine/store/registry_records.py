"""Deployments and services as JSON text, for their tables.

Owns that form. It follows the dataclasses: a field that is None is left out, an enum stands as its
value, and what a newer release added is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from durably.engine.records import (
    Deployment,
    HandlerRecord,
    InputDescriptor,
    OnMaxAttempts,
    OptionsRecord,
    OutputDescriptor,
    ProtocolMode,
    RetryPolicyRecord,
    ServiceRecord,
    ServiceType,
    TargetKind,
)
from durably.errors import StoreCorruptError

__all__ = ["deployment_of", "service_of", "text_of"]

RecordT = TypeVar("RecordT")


def text_of(record: Deployment | ServiceRecord) -> str:
    """Write a record."""
    return json.dumps(_plain(record), separators=(",", ":"))


def deployment_of(text: str) -> Deployment:
    """Read a deployment.

    Raises:
        StoreCorruptError: The text is damaged.
    """
    return _read("deployment", text, _deployment)


def service_of(text: str) -> ServiceRecord:
    """Read a revision of a service.

    Raises:
        StoreCorruptError: The text is damaged.
    """
    return _read("service", text, _service)


def _read(kind: str, text: str, build: Callable[[dict[str, Any]], RecordT]) -> RecordT:
    try:
        return build(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreCorruptError(
            f"A {kind} that is stored cannot be read: the file is damaged.", hint="Restore a copy of the file."
        ) from error


def _deployment(data: dict[str, Any]) -> Deployment:
    data["protocol_mode"] = ProtocolMode(data["protocol_mode"])
    data["additional_headers"] = tuple((name, value) for name, value in data.get("additional_headers", ()))
    return _built(Deployment, data)


def _service(data: dict[str, Any]) -> ServiceRecord:
    data["type"] = ServiceType(data["type"])
    data["options"] = _options(data["options"])
    data["handlers"] = {name: _handler(handler) for name, handler in data["handlers"].items()}
    return _built(ServiceRecord, data)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _plain(item) for name, item in named if item is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _handler(data: dict[str, Any]) -> HandlerRecord:
    data["kind"] = TargetKind(data["kind"])
    data["options"] = _options(data["options"])
    if "input" in data:
        data["input"] = _built(InputDescriptor, data["input"])
    if "output" in data:
        data["output"] = _built(OutputDescriptor, data["output"])
    return _built(HandlerRecord, data)


def _options(data: dict[str, Any]) -> OptionsRecord:
    if "eager_state_keys" in data:
        data["eager_state_keys"] = tuple(data["eager_state_keys"])
    if "retry_policy" in data:
        policy = data["retry_policy"]
        if "on_max_attempts" in policy:
            policy["on_max_attempts"] = OnMaxAttempts(policy["on_max_attempts"])
        data["retry_policy"] = _built(RetryPolicyRecord, policy)
    return _built(OptionsRecord, data)


def _built(kind: type[RecordT], data: dict[str, Any]) -> RecordT:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in known})
