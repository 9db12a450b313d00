"""What random programs are made of: kinds of commands, expected outcomes, names. Shared by both interpreters.

Owns the numbering of the kinds, which is the contract's.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypedDict

__all__ = ["HELPER", "LAYERS", "Expected", "Kind", "Program", "check", "increment", "layer_name"]

HELPER: Final = "ServiceInterpreterHelper"
LAYERS: Final = 3


class Kind(enum.IntEnum):
    """What a command does."""

    SET_STATE = 1
    GET_STATE = 2
    CLEAR_STATE = 3
    INCREMENT = 4
    INCREMENT_INDIRECTLY = 5
    SLEEP = 6
    CALL = 7
    CALL_SLOW = 8
    INCREMENT_LATER = 9
    RUN = 10
    FLAKY_RUN = 11
    SLOW_RUN = 12
    RECOVER_FAILURE = 13
    OPEN_FAILURE = 14
    AWAIT = 15
    RESOLVED_AWAKEABLE = 16
    REJECTED_AWAKEABLE = 17
    DANCE = 18
    CALL_NEXT_LAYER = 19


class Program(TypedDict):
    """Commands that are executed in order."""

    commands: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Expected:
    """The outcome that a future must have: a value, nothing (an empty body), or a terminal failure (None)."""

    outcome: str | bytes | None

    FAILURE: ClassVar[Expected]
    NOTHING: ClassVar[Expected]

    @classmethod
    def text(cls, value: str) -> Expected:
        """Expect a call that answers with this text."""
        return cls(json.dumps(value).encode())


Expected.FAILURE = Expected(None)
Expected.NOTHING = Expected(b"")


class UnexpectedOutcomeError(Exception):
    """A future had another outcome than the program's author knew it must have.

    Retryable on purpose: the invocation never completes, and the watchdog of the runner shows this text.
    """


def check(index: int, expected: Expected, outcome: str | bytes | None) -> None:
    """Compare an outcome, None being a terminal failure, with the expected one.

    Raises:
        UnexpectedOutcomeError: They differ.
    """
    if outcome != expected.outcome:
        raise UnexpectedOutcomeError(f"Command {index}: expected {expected.outcome!r}, got {outcome!r}")


def layer_name(number: int) -> str:
    """Name the object of a layer."""
    return f"ObjectInterpreterL{number}"


def increment() -> bytes:
    """Encode a program of one increment."""
    return json.dumps({"commands": [{"kind": Kind.INCREMENT}]}).encode()
