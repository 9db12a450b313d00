"""The error tree and its page in the documentation."""

from __future__ import annotations

from durably.errors import DurablyError, SdkInternalBaseException
from tools.error_reference import PAGE, error_classes, render


def test_the_page_is_current():
    """docs/reference/errors.md is what the classes say, so that it lists each of them."""
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m tools.error_reference"


def test_there_is_one_tree():
    """Every error can be caught as a DurablyError, and what unwinds a handler cannot be caught as an Exception."""
    strays = [kind.__name__ for kind in error_classes() if issubclass(kind, Exception) ^ issubclass(kind, DurablyError)]
    assert strays == []
    assert not issubclass(SdkInternalBaseException, Exception)


def test_names_say_what_they_are():
    """An error's name ends in Error; a signal's does not have to."""
    errors = [kind.__name__ for kind in error_classes() if issubclass(kind, Exception)]
    assert [name for name in errors if not name.endswith("Error")] == []
