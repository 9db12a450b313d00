"""Every error that durably raises, and the signals that unwind a handler.

Owns the one error tree. Attributes hold data; the text says what happened, where, and what to do.

    DurablyError
    ├─ UsageError                 the developer must change code; raised at import, registration or call time
    │  ├─ RegistrationError       a service, handler or signature that cannot work
    │  ├─ ConfigurationError      a setting that cannot work
    │  ├─ NotInHandlerError       a context was asked for outside a handler
    │  └─ MissingExtraError       an optional dependency is not installed
    ├─ SerdeError                 a value could not be written or read
    ├─ ProtocolError              carries the protocol's error code
    │  ├─ LocalProtocolError      our side, or the handler's code, did what the protocol forbids
    │  │  ├─ JournalMismatchError   570: the code does not follow its journal
    │  │  └─ UnsupportedFeatureError 573: newer than the negotiated version
    │  ├─ RemoteProtocolError     the peer did
    │  └─ UnsupportedVersionError 415: no common protocol version
    ├─ IdentityError              401: a request is not signed as it must be
    ├─ OutcomeError               how an invocation or an attempt ends; what handlers raise and catch
    │  ├─ TerminalError           the caller sees it; never retried
    │  │  ├─ InvocationCancelledError  409
    │  │  ├─ RunFailedError       a durable step gave up
    │  │  └─ CompensationFailedError  a failed handler could not undo everything that it had done
    │  └─ RetryableError          try again, optionally not before a delay
    ├─ ClientError                a call from outside failed
    ├─ StoreError                 the embedded engine could not read or write its file
    │  ├─ StoreBusyError          another process held the lock for too long; nothing was written
    │  ├─ StoreFullError          no space; nothing was written, and writing resumes when there is some
    │  ├─ StoreFailedError        an I/O error: what was written last is unknown, so the engine stops
    │  ├─ StoreCorruptError       the file is damaged
    │  ├─ StoreFencedError        another engine drives this file now
    │  ├─ StoreSchemaError        written by a newer release, or by another program
    │  ├─ StoreLocationError      the file is where it cannot be kept safely
    │  └─ StoreForkedError        opened before a fork, used after it
    └─ EngineStoppedError         asked of an engine that stops; what was stored goes on when it starts again

    SdkInternalBaseException(BaseException)
    ├─ SuspendedException         the attempt stops here; the runtime calls again
    └─ SdkInternalException       the attempt failed and will be retried

The two signals derive from `BaseException`, so that `except Exception` in a handler cannot
swallow them. After either was raised the context refuses every further operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

__all__ = [
    "ClientError",
    "CommandInfo",
    "CompensationFailedError",
    "ConfigurationError",
    "DurablyError",
    "EngineStoppedError",
    "IdentityError",
    "InvocationCancelledError",
    "JournalMismatchError",
    "LocalProtocolError",
    "MissingExtraError",
    "NotInHandlerError",
    "OutcomeError",
    "ProtocolError",
    "RegistrationError",
    "RemoteProtocolError",
    "RetryableError",
    "RunFailedError",
    "SdkInternalBaseException",
    "SdkInternalException",
    "SerdeError",
    "StoreBusyError",
    "StoreCorruptError",
    "StoreError",
    "StoreFailedError",
    "StoreFencedError",
    "StoreForkedError",
    "StoreFullError",
    "StoreLocationError",
    "StoreSchemaError",
    "SuspendedException",
    "TerminalError",
    "UnsupportedFeatureError",
    "UnsupportedVersionError",
    "UsageError",
    "is_internal_exception",
]


class DurablyError(Exception):
    """Base of every error of this package.

    Attributes:
        hint: What to do about it, or None where the message says it.
    """

    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the message, and the hint for `__str__`."""
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        """Give the message, then the hint."""
        return f"{self.message} {self.hint}" if self.hint else self.message


class UsageError(DurablyError):
    """The developer must change code. Never retried, never a business failure."""


class RegistrationError(UsageError, ValueError):
    """A service, handler or signature that cannot work."""


class ConfigurationError(UsageError, ValueError):
    """A setting that cannot work."""


class NotInHandlerError(UsageError, LookupError):
    """A context was asked for where no handler runs."""


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra to install, as in `pip install 'durably[client]'`.
    """

    def __init__(self, feature: str, extra: str) -> None:
        """Name the feature that was asked for and the extra that brings it."""
        hint = f"Install it with: pip install 'durably[{extra}]'"
        super().__init__(f"{feature} needs an optional dependency.", hint=hint)
        self.extra = extra


class SerdeError(DurablyError, ValueError):
    """A value could not be serialized or deserialized.

    Attributes:
        problems: One text per wrong field, `path: what is wrong`, without the value; may be empty.
    """

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str | None = None) -> None:
        """Keep what is wrong, field by field."""
        super().__init__(message, hint=hint)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class CommandInfo:
    """Which journal command an error is about.

    Attributes:
        index: 0-based among commands; Input is 0.
        type: The command's message type, for example 0x0411 for Run.
        name: The name the handler gave it, or "".
    """

    index: int
    type: int
    name: str


class ProtocolError(DurablyError):
    """The service protocol was broken.

    Attributes:
        code: The `Error.code` that goes to the peer.
        command: The command it is about, if one is known.

    Source: service protocol, ErrorMessage.
    """

    code: int = 500

    def __init__(
        self, message: str, *, code: int | None = None, command: CommandInfo | None = None, hint: str | None = None
    ) -> None:
        """Keep the code and the related command."""
        super().__init__(message, hint=hint)
        if code is not None:
            self.code = code
        self.command = command


class LocalProtocolError(ProtocolError):
    """Our side, or the handler's code, did what the protocol forbids."""

    code = 571


class JournalMismatchError(LocalProtocolError):
    """The handler does not do what its journal recorded.

    Attributes:
        index: 0-based index of the entry among commands.
        expected: What the journal holds.
        found: What the code asked for.
        location: `file:line` of the call in the handler, or None while unknown.
    """

    code = 570

    def __init__(
        self,
        message: str,
        *,
        index: int,
        expected: str,
        found: str,
        command: CommandInfo | None = None,
        hint: str | None = None,
        location: str | None = None,
    ) -> None:
        """Keep the two sides of the mismatch."""
        super().__init__(message, command=command, hint=hint)
        self.index = index
        self.expected = expected
        self.found = found
        self.location = location


class UnsupportedFeatureError(LocalProtocolError):
    """A feature is newer than the protocol version of this invocation."""

    code = 573


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol forbids."""

    code = 571


class UnsupportedVersionError(ProtocolError):
    """No protocol version in common.

    Attributes:
        offered: What the peer asked for, verbatim.
    """

    code = 415

    def __init__(self, message: str, *, offered: str | None = None, hint: str | None = None) -> None:
        """Keep what was offered."""
        super().__init__(message, hint=hint)
        self.offered = offered


class IdentityError(DurablyError):
    """A request is not signed as it must be. The caller learns only the status 401."""

    code = 401


class OutcomeError(DurablyError):
    """How an invocation or an attempt ends; the errors that handlers raise and catch."""


class TerminalError(OutcomeError):
    """Ends the invocation with a failure that the caller sees. Never retried.

    Attributes:
        message: Text for the caller.
        status_code: 1 to 65535, an HTTP status where one fits; the default is 500.
        metadata: Strings that travel with the failure (protocol V6 and later), or None.

    Source: service protocol, Failure.
    """

    def __init__(self, message: str, status_code: int = 500, metadata: Mapping[str, str] | None = None) -> None:
        """Say what the caller will see."""
        super().__init__(message)
        self.status_code = status_code
        self.metadata: dict[str, str] | None = dict(metadata) if metadata is not None else None


class InvocationCancelledError(TerminalError):
    """The invocation was cancelled. Catch it to compensate, then raise it again or return.

    Source: service protocol, built-in signal 1 (CANCEL).
    """

    def __init__(
        self, message: str = "cancelled", status_code: int = 409, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Use the message and code that the protocol gives a cancellation."""
        super().__init__(message, status_code, metadata)


class RunFailedError(TerminalError):
    """A durable step failed for good: it raised a terminal error, or its retries ran out."""


class CompensationFailedError(TerminalError):
    """A handler failed for good, and so did a compensation: something was done that is not undone.

    The status and the metadata are those of the error that made the compensations necessary.

    Attributes:
        failures: The names of the compensations that failed, each with its error. All the others ran.
    """

    def __init__(self, cause: TerminalError, failures: tuple[tuple[str, TerminalError], ...]) -> None:
        """Name what made the compensations necessary, and what remains."""
        told = "; ".join(f"{name}: {failure.message}" for name, failure in failures)
        super().__init__(f"{cause.message} Not everything was undone: {told}", cause.status_code, cause.metadata)
        self.failures = failures


class RetryableError(OutcomeError):
    """Ends this attempt; the runtime tries again.

    Attributes:
        message: Text for operators.
        status_code: Code reported with the attempt's failure; the default is 500.
        retry_after: Wait this long before the next attempt; None leaves it to the retry policy.
    """

    def __init__(self, message: str, status_code: int = 500, retry_after: timedelta | None = None) -> None:
        """Say why, and when to try again."""
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after


class ClientError(DurablyError):
    """A call from outside a handler failed."""


class EngineStoppedError(DurablyError):
    """The embedded engine stops or has stopped. What it had stored goes on when an engine opens its file again."""


class StoreError(DurablyError):
    """The embedded engine could not read or write its file.

    Where a subclass does not say otherwise, nothing of the refused transaction was written and the
    store can be used on.
    """


class StoreBusyError(StoreError):
    """Another process held the file's lock for longer than the busy timeout. Nothing was written."""


class StoreFullError(StoreError):
    """The disk, or the quota, is full. Nothing was written; writing works again once there is space."""


class StoreFailedError(StoreError):
    """An I/O error: whether the last transaction is on the disk is unknown.

    The store refuses everything from then on. Open it again: that makes what survived durable, or
    fails.
    """


class StoreCorruptError(StoreError):
    """The file is damaged, or is no SQLite file at all."""


class StoreFencedError(StoreError):
    """Another engine took over the file; this one must stop.

    Attributes:
        epoch: The epoch that this engine had.
        current: The epoch in the file.
    """

    def __init__(self, message: str, *, epoch: int, current: int, hint: str | None = None) -> None:
        """Keep the two epochs."""
        super().__init__(message, hint=hint)
        self.epoch = epoch
        self.current = current


class StoreSchemaError(StoreError):
    """The file was written by a newer release, or by another program.

    Attributes:
        found: The schema version in the file; -1 when it is another program's.
        expected: The newest version that this release knows.
    """

    def __init__(self, message: str, *, found: int, expected: int, hint: str | None = None) -> None:
        """Keep the two versions."""
        super().__init__(message, hint=hint)
        self.found = found
        self.expected = expected


class StoreLocationError(StoreError, UsageError):
    """The file is where it cannot be kept safely, or cannot be opened there.

    Attributes:
        path: The file, or its directory.
    """

    def __init__(self, message: str, *, path: str, hint: str | None = None) -> None:
        """Keep which path it is about."""
        super().__init__(message, hint=hint)
        self.path = path


class StoreForkedError(StoreError):
    """The store was opened before a fork and used in the child. SQLite cannot survive that: open it after the fork."""


_WHY_NOT_TO_CATCH = (
    " This is not an error: it unwinds the handler. If you see it in a log, a bare `except:` or"
    " `except BaseException` in the handler caught it. Catch `TerminalError` or `Exception` instead."
)


class SdkInternalBaseException(BaseException):
    """Unwinds a handler. Do not catch it."""

    def __init__(self, message: str) -> None:
        """Append why it should not be caught."""
        super().__init__(message + _WHY_NOT_TO_CATCH)


class SuspendedException(SdkInternalBaseException):
    """The attempt stops here; the runtime calls the handler again when it can go on."""

    def __init__(self, message: str = "The invocation was suspended until it can make progress.") -> None:
        """Use the standard message unless told otherwise."""
        super().__init__(message)


class SdkInternalException(SdkInternalBaseException):
    """The attempt failed and will be retried."""

    def __init__(self, message: str = "The attempt failed; the runtime will retry it.") -> None:
        """Use the standard message unless told otherwise."""
        super().__init__(message)


def is_internal_exception(e: BaseException) -> bool:
    """Tell whether `e` is one of the signals that unwind a handler."""
    return isinstance(e, SdkInternalBaseException)
