"""The errors and signals of the package under the name that restate-sdk gives their module.

Owns nothing: `durably.errors` does.
"""

from durably.errors import (
    InvocationCancelledError,
    OutcomeError,
    RetryableError,
    RunFailedError,
    SdkInternalBaseException,
    SdkInternalException,
    SuspendedException,
    TerminalError,
    is_internal_exception,
)

__all__ = [
    "InvocationCancelledError",
    "OutcomeError",
    "RetryableError",
    "RunFailedError",
    "SdkInternalBaseException",
    "SdkInternalException",
    "SuspendedException",
    "TerminalError",
    "is_internal_exception",
]
