"""Logging that stays silent while a handler repeats what it logged before.

Owns the filter and the loggers that carry it. A record is held back only where it belongs to an attempt that is
replaying its journal; everything else passes.
"""

from __future__ import annotations

import logging

from durably.authoring.current import current_attempt

__all__ = ["RestateLoggingFilter", "attempt_logger", "getLogger"]

attempt_logger: logging.Logger = logging.getLogger("durably.attempt")
"""Where the package reports failed attempts. It has no filter: a failure during replay must be seen."""


class RestateLoggingFilter(logging.Filter):
    """Holds back records of an attempt that is replaying. Add it to a logger or to a handler of `logging`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass unless the current attempt is replaying."""
        if not super().filter(record):
            return False
        context = current_attempt.get()
        return context is None or not context.is_replaying


def getLogger(name: str | None = None) -> logging.Logger:
    """Give the logger `name`, with one `RestateLoggingFilter` on it.

    The filter acts on records logged to this very logger, not on those of its children.
    """
    logger = logging.getLogger(name)
    if not any(isinstance(each, RestateLoggingFilter) for each in logger.filters):
        logger.addFilter(RestateLoggingFilter())
    return logger
