"""Loggers that stay silent while a handler replays.

Owns nothing: `durably.authoring.replay_logging` does.
"""

from durably.authoring.replay_logging import RestateLoggingFilter, getLogger

__all__ = ["RestateLoggingFilter", "getLogger"]
