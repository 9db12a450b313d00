"""What a handler's manifest says about the bodies at the ingress.

Owns the check of requests against the input descriptor and the content type of responses.

| input descriptor | accepts |
|---|---|
| absent | everything |
| `{}` | an empty body without a content type |
| with content type, not required | an empty body without a content type, or one of that type |
| with content type, required | one of that type |
| with a JSON schema, too | no empty body; bodies are not validated against the schema |

Browsers send bodies labelled `text/plain` or as a form to other sites without asking. Such a label is accepted only
where the descriptor names it, not where it merely allows everything, unless an option says otherwise.
"""

from __future__ import annotations

from typing import Final

from durably.engine.ingress.refusals import RefusedError
from durably.engine.records import InputDescriptor, OutputDescriptor

__all__ = ["check_input", "matches", "output_content_type"]

_OF_FORMS: Final = frozenset(("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"))


def check_input(
    descriptor: InputDescriptor | None, content_type: str | None, *, is_empty: bool, forms: bool = False
) -> None:
    """Check a request against what the handler takes.

    Args:
        descriptor: Of the handler, or None.
        content_type: Of the request, with parameters, or None.
        is_empty: Whether the body is empty.
        forms: Whether labels of forms are accepted everywhere.

    Raises:
        RefusedError: The handler does not take it.
    """
    given = None if content_type is None else content_type.partition(";")[0].strip()
    if descriptor is not None:
        _check_descriptor(descriptor, given, is_empty=is_empty)
    named = descriptor is not None and descriptor.content_type is not None and descriptor.content_type != "*/*"
    if not forms and not named and given is not None and given.lower() in _OF_FORMS:
        raise RefusedError(
            415,
            f"input validation error: Content-type '{given}' is accepted only by handlers that name it; use"
            " application/json or application/octet-stream",
        )


def matches(given: str, accepted: str) -> bool:
    """Tell whether a content type without parameters is covered by `*/*`, `type/*` or `type/subtype`."""
    if accepted == "*/*":
        return True
    wanted = accepted.partition(";")[0].strip()
    if wanted.endswith("/*"):
        return given.startswith(wanted[:-1])
    return given == wanted


def output_content_type(descriptor: OutputDescriptor | None, *, is_empty: bool) -> str | None:
    """Give the content type of a response, or None for none."""
    if descriptor is None:
        return None if is_empty else "application/json"
    if is_empty and not descriptor.set_content_type_if_empty:
        return None
    return descriptor.content_type


def _check_descriptor(descriptor: InputDescriptor, given: str | None, *, is_empty: bool) -> None:
    accepted = descriptor.content_type
    if accepted is None and not descriptor.required and descriptor.json_schema is None:
        if given is not None or not is_empty:
            raise RefusedError(400, "input validation error: Expected neither a body nor a content-type")
        return
    if accepted is None:
        raise RefusedError(400, "input validation error: the handler demands a body and names no content type for it")
    if not descriptor.required and is_empty and given is None:
        return
    if given is None:
        raise RefusedError(400, "input validation error: Empty content-type")
    if not matches(given, accepted):
        raise RefusedError(400, f"input validation error: Content-type '{given}' does not match '{accepted}'")
    if descriptor.json_schema is not None and is_empty:
        raise RefusedError(400, "input validation error: Empty body not allowed")
