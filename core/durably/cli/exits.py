"""How commands end: exit codes, and errors as one readable message.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused or failed: the message, or the list, says what |
| 2 | the command line is wrong, or what it names cannot be loaded |
| 3 | the runtime cannot be reached, or no process drives the file |
| 4 | there is no such service, deployment, invocation or key |
| 75 | `durably engine` only: the disk failed while it ran |
| 130 | interrupted by Ctrl-C |
"""

from __future__ import annotations

import enum

from durably.errors import ClientError, DurablyError, EngineStoppedError, MissingExtraError, StoreError, UsageError
from durably.operations.errors import NotFoundError, NotReachableError, OperationError

__all__ = ["CommandError", "Exit", "NotFoundError", "NotReachableError", "code_of", "text_of"]


class Exit(enum.IntEnum):
    """Exit codes; see the module."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


class CommandError(OperationError):
    """A command could not do what it was asked."""

    exit_code: Exit = Exit.FAILED


def code_of(error: BaseException) -> Exit:
    """Give the exit code of a command that ended with an error."""
    match error:
        case CommandError():
            return error.exit_code
        case NotReachableError():
            return Exit.NOT_REACHABLE
        case NotFoundError():
            return Exit.NOT_FOUND
        case UsageError() | MissingExtraError():
            return Exit.USAGE
        case EngineStoppedError() | StoreError() | ClientError():
            return Exit.NOT_REACHABLE
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
        case _:
            return Exit.FAILED


def text_of(error: BaseException) -> str:
    """Write an error as people read it: what happened, and what to do."""
    text = error.message if isinstance(error, DurablyError) else str(error) or type(error).__name__
    hint = error.hint if isinstance(error, DurablyError) else None
    return f"{text}\n{hint}" if hint else text
