"""What Django's exceptions mean on an attempt, and back at the edge.

Owns the translation into terminal errors with their status, and the way back: the edge raises the same exception, so
that the project's own `handler404` and its like write the answer.

| raised on an attempt | becomes | at the edge |
|---|---|---|
| `Http404` | terminal 404 | `Http404` |
| `PermissionDenied` | terminal 403 | `PermissionDenied` |
| `BadRequest`, `SuspiciousOperation` | terminal 400 | `BadRequest` |
| `request.POST["name"]` where there is none | terminal 400: the request is the same on each attempt | `BadRequest` |
| `ValidationError` of models and forms | terminal 400 with the messages | 400, the messages as JSON |
| `TerminalError` | itself | its status, `{"detail": …}` as JSON |
| anything else | what `failures=` says, else retried | |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.utils.datastructures import MultiValueDictKeyError

from durably.authoring.failures import FailureMap, FailureRule
from durably.errors import TerminalError
from durably.web.outcomes import Failed

__all__ = ["answer_failure", "django_failures"]

_KIND: Final = "durably.django"
_ERRORS: Final = "durably.errors"

_RAISED: Final[Mapping[str, Callable[[str], Exception]]] = {
    "not_found": Http404,
    "denied": PermissionDenied,
    "bad_request": BadRequest,
}


def _rule(status: int, kind: str) -> FailureRule:
    def rule(error: Exception) -> TerminalError:
        return TerminalError(str(error) or type(error).__name__, status, {_KIND: kind})

    return rule


def _of_missing(error: MultiValueDictKeyError) -> TerminalError:
    """Say what the form or the query does not have."""
    name = error.args[0] if error.args else "something"
    return TerminalError(f"The request has no {name!r}", 400, {_KIND: "bad_request"})


def _of_validation(error: ValidationError) -> TerminalError:
    """Take the messages, field by field where they have fields."""
    messages: Any = error.message_dict if hasattr(error, "error_dict") else error.messages
    text = "; ".join(error.messages)
    return TerminalError(f"Invalid: {text}", 400, {_ERRORS: json.dumps(messages, default=str)})


def django_failures() -> FailureMap:
    """Give the rules for all handlers of a project; a map of the user's goes over it (`ours | theirs`)."""
    return FailureMap(
        {
            Http404: _rule(404, "not_found"),
            PermissionDenied: _rule(403, "denied"),
            SuspiciousOperation: _rule(400, "bad_request"),
            BadRequest: _rule(400, "bad_request"),
            MultiValueDictKeyError: _of_missing,
            ValidationError: _of_validation,
        }
    )


def answer_failure(failed: Failed) -> HttpResponse:
    """Give the answer to a failed call.

    Raises:
        Http404: As the view raised it.
        PermissionDenied: As above.
        BadRequest: As above.
    """
    raised = _RAISED.get(failed.metadata.get(_KIND, ""))
    if raised is not None:
        raise raised(failed.message)
    errors = failed.metadata.get(_ERRORS)
    detail: Any = failed.message if errors is None else json.loads(errors)
    return JsonResponse({"detail": detail}, status=failed.status, headers=dict(failed.headers))
