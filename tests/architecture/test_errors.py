"""The error tree and its page in the documentation."""

from __future__ import annotations

from durably.errors import DurablyError, SdkInternalBaseException
from tools.error_reference import PAGE, error_classes, render


def test_the_page_is_current():
    """docs/reference/errors.md is what the classes say, so that it lists each of them."""
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m tools.error_reference"


def test_there_is_one_tree():
    """Every error can be caught as a DurablyError, and the signals cannot be caught as an Exception."""
    strays = [
        kind.__name__ for kind in error_classes() if not issubclass(kind, DurablyError | SdkInternalBaseException)
    ]
    assert strays == []
    assert not issubclass(SdkInternalBaseException, Exception)


def test_names_say_what_they_are():
    """An error's name ends in Error; only the signals keep the names that users of restate-sdk know."""
    assert [
        kind.__name__
        for kind in error_classes()
        if not kind.__name__.endswith("Error") and not issubclass(kind, SdkInternalBaseException)
    ] == []
