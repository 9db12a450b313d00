"""What extensions build on: the current context, and data that lives as long as an attempt.

Owns nothing: `durably.authoring.current` and `durably.context_managers` do.
"""

from durably.authoring.current import clear_extension_data, current_context, get_extension_data, set_extension_data
from durably.context_managers import contextvar

__all__ = ["clear_extension_data", "contextvar", "current_context", "get_extension_data", "set_extension_data"]
