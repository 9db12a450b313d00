"""The adapter's settings: the dict `DURABLY` in Django's settings.

Owns where they come from. Names and values are those of `durably.web.settings`; `DURABLY_URL` in the environment and
so on work as well, below the dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings

from durably.errors import ConfigurationError
from durably.web.settings import Settings, read_settings

__all__ = ["configured"]


def configured() -> Settings:
    """Read the settings as they are now.

    Raises:
        ConfigurationError: One cannot work, or `DURABLY` is no dict.
    """
    given: Any = getattr(settings, "DURABLY", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"DURABLY in the settings must be a dict, not {type(given).__name__}.")
    return read_settings({}, cast("Mapping[str, object]", given))
