"""The adapter's settings: the dict `DURABLY` in Django's settings.

Owns where they come from, and what Django has besides. Names and values are those of `durably.web.settings`;
`DURABLY_URL` in the environment and so on work as well, below the dict.

| setting of Django's own | value | default |
|---|---|---|
| `MAX_CONNECTIONS` | connections for each database that `def` handlers of one process hold at once, 1 or more | 8 |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, cast

from django.conf import settings

from durably.errors import ConfigurationError
from durably.web.settings import Settings, read_settings
from durably_django.slots import DEFAULT_SIZE

__all__ = ["configured", "max_connections"]

_MAX_CONNECTIONS: Final = "MAX_CONNECTIONS"


def configured() -> Settings:
    """Read the settings that all adapters have, as they are now.

    Raises:
        ConfigurationError: One cannot work, or `DURABLY` is no dict.
    """
    return read_settings({}, {name: value for name, value in _given().items() if name.upper() != _MAX_CONNECTIONS})


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
