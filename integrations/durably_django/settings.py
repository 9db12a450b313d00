"""The adapter's settings: the dict `DURABLY` in Django's settings.

Owns where they come from, and what Django has besides. Names and values are those of `durably.web.settings`;
`DURABLY_URL` in the environment and so on work as well, below the dict.

| setting of Django's own | value | default |
|---|---|---|
| `MAX_CONNECTIONS` | connections for each database that `def` handlers of one process hold at once, 1 or more | 8 |
| `OPTIONS` | `EngineOptions` of the embedded engine | its defaults |
| `HOSTING` | `HostingOptions`: how handlers are run | its defaults |
| `FAILURES` | exception classes, or their dotted names, that are final in handlers, with their status | Django's own |
| `JOURNAL_VALUE_CODEC` | a `JournalValueCodec`, or what makes one, or its dotted name | none |

The last four are objects of Python: the environment cannot name them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from django.conf import settings
from django.utils.module_loading import import_string

from durably.authoring.failures import FailureMap
from durably.engine.options import EngineOptions
from durably.errors import ConfigurationError
from durably.hosting.options import HostingOptions
from durably.web.settings import Settings, read_settings
from durably_django.slots import DEFAULT_SIZE

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider

__all__ = ["Objects", "configured", "configured_objects", "max_connections"]

T = TypeVar("T")

_MAX_CONNECTIONS: Final = "MAX_CONNECTIONS"
_OBJECTS: Final = ("OPTIONS", "HOSTING", "FAILURES", "JOURNAL_VALUE_CODEC")


@dataclass(frozen=True, slots=True)
class Objects:
    """The settings that are objects of Python.

    Attributes:
        options: Of the embedded engine.
        hosting: How handlers are run.
        failures: Which exceptions are final in every handler.
        codec: Encrypts or compresses what is journaled.
    """

    options: EngineOptions | None = None
    hosting: HostingOptions | None = None
    failures: FailureMap = field(default_factory=FailureMap)
    codec: JournalValueCodec | JournalValueCodecProvider | None = None


def configured() -> Settings:
    """Read the settings that all adapters have, as they are now.

    Raises:
        ConfigurationError: One cannot work, or `DURABLY` is no dict.
    """
    own = (_MAX_CONNECTIONS, *_OBJECTS)
    return read_settings({}, {name: value for name, value in _given().items() if name.upper() not in own})


def configured_objects() -> Objects:
    """Read the settings that are objects, as they are now.

    Raises:
        ConfigurationError: One is of another kind, or has a name that cannot be imported; or `DURABLY` is no dict.
    """
    given = {name.upper(): value for name, value in _given().items()}
    codec = given.get("JOURNAL_VALUE_CODEC")
    return Objects(
        options=_instance(given.get("OPTIONS"), EngineOptions, "OPTIONS"),
        hosting=_instance(given.get("HOSTING"), HostingOptions, "HOSTING"),
        failures=_failures(given.get("FAILURES")),
        codec=_imported(codec, "JOURNAL_VALUE_CODEC") if isinstance(codec, str) else cast("Any", codec),
    )


def max_connections() -> int:
    """Read how many connections handlers may hold.

    Raises:
        ConfigurationError: It is no number, or less than 1; or `DURABLY` is no dict.
    """
    for name, value in _given().items():
        if name.upper() == _MAX_CONNECTIONS:
            return _positive(value, f"{name} in the configuration")
    variable = f"DURABLY_{_MAX_CONNECTIONS}"
    return _positive(os.environ.get(variable, DEFAULT_SIZE), variable)


def _given() -> Mapping[str, object]:
    given: Any = getattr(settings, "DURABLY", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"DURABLY in the settings must be a dict, not {type(given).__name__}.")
    return cast("Mapping[str, object]", given)


def _positive(value: object, source: str) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigurationError(f"{source} must be a number of connections, 1 or more, not {value!r}.")
    return number


def _instance(value: object, kind: type[T], name: str) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    raise ConfigurationError(
        f'DURABLY["{name}"] must be {kind.__name__}, not {value!r}.',
        hint=f"from durably import {kind.__name__}, and give its arguments there.",
    )


def _failures(value: object) -> FailureMap:
    if value is None or isinstance(value, FailureMap):
        return value or FailureMap()
    if not isinstance(value, Mapping):
        raise ConfigurationError(f'DURABLY["FAILURES"] must map exception classes to a status, not {value!r}.')
    rules: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType] -- FailureMap looks at each
    return FailureMap(
        {_imported(each, "FAILURES") if isinstance(each, str) else each: rule for each, rule in rules.items()}
    )


def _imported(name: str, setting: str) -> Any:
    try:
        return import_string(name)
    except ImportError as error:
        raise ConfigurationError(
            f'DURABLY["{setting}"] names {name!r}, which cannot be imported: {error}.',
            hint='Give the whole name, as "shop.errors.OrderNotFound".',
        ) from error
