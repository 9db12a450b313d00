"""Input and output descriptors of handlers; each row was asked of the real server."""

from __future__ import annotations

import pytest

from durably.engine.ingress.descriptors import check_input, output_content_type
from durably.engine.ingress.refusals import RefusedError
from durably.engine.records import InputDescriptor, OutputDescriptor

EMPTY = InputDescriptor()
OPTIONAL = InputDescriptor(required=False, content_type="application/json")
REQUIRED = InputDescriptor(required=True, content_type="application/json")
SCHEMA = InputDescriptor(required=True, content_type="application/json", json_schema={})
OPTIONAL_SCHEMA = InputDescriptor(required=False, content_type="application/json", json_schema={})
ANY_TEXT = InputDescriptor(required=False, content_type="text/*")
ANYTHING = InputDescriptor(required=True, content_type="*/*")

ACCEPTED = [
    (None, None, True),
    (None, "application/x-any", False),
    (None, "bad bad", True),
    (EMPTY, None, True),
    (OPTIONAL, None, True),
    (OPTIONAL, "application/json", True),
    (OPTIONAL, "application/json; charset=utf-8", False),
    (REQUIRED, "application/json", False),
    (REQUIRED, "application/json", True),
    (SCHEMA, "application/json", False),
    (OPTIONAL_SCHEMA, None, True),
    (ANY_TEXT, "text/plain", False),
    (ANY_TEXT, None, True),
    (ANYTHING, "application/x-any", True),
]
REFUSED = [
    (EMPTY, None, False),
    (EMPTY, "application/json", True),
    (OPTIONAL, "text/html", False),
    (OPTIONAL, None, False),
    (REQUIRED, None, True),
    (REQUIRED, None, False),
    (REQUIRED, "APPLICATION/JSON", False),
    (REQUIRED, "application/*", False),
    (SCHEMA, "application/json", True),
    (OPTIONAL_SCHEMA, "application/json", True),
    (ANY_TEXT, "TEXT/plain", False),
    (ANY_TEXT, "application/json", True),
    (ANY_TEXT, None, False),
    (ANYTHING, None, False),
    (InputDescriptor(required=True), "application/json", False),
]


@pytest.mark.parametrize(("descriptor", "content_type", "is_empty"), ACCEPTED)
def test_a_body_that_fits_is_accepted(
    descriptor: InputDescriptor | None, content_type: str | None, is_empty: bool
) -> None:
    """No exception means accepted."""
    check_input(descriptor, content_type, is_empty=is_empty)


@pytest.mark.parametrize(("descriptor", "content_type", "is_empty"), REFUSED)
def test_a_body_that_does_not_fit_is_refused(
    descriptor: InputDescriptor, content_type: str | None, is_empty: bool
) -> None:
    """With 400, as the real server does."""
    with pytest.raises(RefusedError, match="input validation error") as refused:
        check_input(descriptor, content_type, is_empty=is_empty)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("descriptor", "is_empty", "expected"),
    [
        (None, False, "application/json"),
        (None, True, None),
        (OutputDescriptor(), False, None),
        (OutputDescriptor(set_content_type_if_empty=True), True, None),
        (OutputDescriptor(content_type="text/plain"), False, "text/plain"),
        (OutputDescriptor(content_type="text/plain"), True, None),
        (OutputDescriptor(content_type="text/plain", set_content_type_if_empty=True), True, "text/plain"),
    ],
)
def test_responses_are_labelled_by_the_output_descriptor(
    descriptor: OutputDescriptor | None, is_empty: bool, expected: str | None
) -> None:
    """Absent means JSON for bodies, and an empty body has a label only where that is asked for."""
    assert output_content_type(descriptor, is_empty=is_empty) == expected
