"""The one error tree: what it promises to those who catch and read its errors."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from durably import errors


def exception_classes() -> list[type[BaseException]]:
    """Give every exception class that the module exports."""
    exported = [getattr(errors, name) for name in errors.__all__]
    return [each for each in exported if isinstance(each, type) and issubclass(each, BaseException)]


@pytest.mark.parametrize("cls", exception_classes(), ids=lambda cls: cls.__name__)
def test_each_class_belongs_to_one_of_the_two_trees(cls: type[BaseException]) -> None:
    """Errors share a base that can be caught; signals do not derive from Exception, so that handlers cannot."""
    if issubclass(cls, errors.SdkInternalBaseException):
        assert not issubclass(cls, Exception)
    else:
        assert issubclass(cls, errors.DurablyError)
        assert issubclass(cls, Exception)


def test_the_text_has_message_and_hint() -> None:
    """The hint stands behind the message, and both can be read apart."""
    error = errors.UsageError("The cart is empty.", hint="Put something in.")
    assert str(error) == "The cart is empty. Put something in."
    assert (error.message, error.hint) == ("The cart is empty.", "Put something in.")
    assert str(errors.UsageError("Just this.")) == "Just this."


@pytest.mark.parametrize(
    ("cls", "code"),
    [
        (errors.RemoteProtocolError, 571),
        (errors.LocalProtocolError, 571),
        (errors.UnsupportedFeatureError, 573),
        (errors.UnsupportedVersionError, 415),
    ],
)
def test_protocol_errors_carry_the_protocols_code(cls: type[errors.ProtocolError], code: int) -> None:
    """Each class has the code that goes on the wire unless another is given."""
    assert cls("x").code == code


def test_a_mismatch_keeps_both_sides() -> None:
    """The error of a diverging handler holds index, both sides and the place."""
    error = errors.JournalMismatchError(
        "differs", index=3, expected="sleep", found="run", location="shop.py:7 in place", hint="Look."
    )
    assert (error.code, error.index, error.expected, error.found) == (570, 3, "sleep", "run")
    assert error.location == "shop.py:7 in place"
    assert str(error) == "differs Look."


def test_terminal_errors_are_made_as_the_python_peer_makes_them() -> None:
    """Message, status and metadata are positional; the metadata is copied."""
    metadata = {"order": "7"}
    error = errors.TerminalError("declined", 402, metadata)
    metadata["order"] = "8"
    assert (error.message, error.status_code, error.metadata) == ("declined", 402, {"order": "7"})
    assert errors.TerminalError("x").status_code == 500


def test_a_cancellation_is_a_terminal_409() -> None:
    """Code that catches TerminalError also sees cancellations, with the code the protocol gives them."""
    error = errors.InvocationCancelledError()
    assert isinstance(error, errors.TerminalError)
    assert (error.message, error.status_code) == ("cancelled", 409)


def test_a_retryable_error_says_when() -> None:
    """The delay is a timedelta, or None to leave it to the policy."""
    assert errors.RetryableError("later", retry_after=timedelta(seconds=3)).retry_after == timedelta(seconds=3)
    assert errors.RetryableError("later").retry_after is None


def test_a_missing_extra_names_the_command() -> None:
    """Whoever lacks an optional dependency is told what to type, and except ImportError catches it."""
    error = errors.MissingExtraError("The client", "client")
    assert isinstance(error, ImportError)
    assert error.extra == "client"
    assert "pip install 'durably[client]'" in str(error)


def test_signals_say_why_they_must_not_be_caught() -> None:
    """A signal that shows up in a log explains itself."""
    for signal in (errors.SuspendedException(), errors.SdkInternalException()):
        assert "Catch `TerminalError` or `Exception` instead." in str(signal)
        assert errors.is_internal_exception(signal)
    assert not errors.is_internal_exception(errors.TerminalError("x"))


def test_usage_errors_keep_the_builtin_they_stand_for() -> None:
    """Existing `except ValueError` and `except LookupError` around the peer's calls go on to work."""
    assert issubclass(errors.RegistrationError, ValueError)
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.NotInHandlerError, LookupError)


def test_plain_errors_survive_pickling() -> None:
    """Errors cross process pools, as exceptions of the standard library do."""
    error = pickle.loads(pickle.dumps(errors.TerminalError("declined", 402, {"order": "7"})))
    assert (error.message, error.status_code, error.metadata) == ("declined", 402, {"order": "7"})
