"""What exceptions mean in an application of FastAPI, on an attempt and back at the edge.

Owns the translation of framework exceptions into terminal errors with their status, and of a failed outcome back into
the exception, or the response, that a route without durability would have given.
"""

from __future__ import annotations

from durably.authoring.failures import FailureMap
from durably_fastapi.host import Host

__all__ = ["framework_failures"]


def framework_failures(host: Host) -> FailureMap:
    """Give the rules for all handlers of an application; a map of the user's goes over it (`ours | theirs`).

    `HTTPException` below 500 and invalid input are terminal with their status. So is what the application has an
    exception handler for, if that answers with a 4xx. `host.app` is looked at when an exception comes, not before.
    """
    raise NotImplementedError
