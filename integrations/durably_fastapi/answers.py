"""From the outcome of a durable call to the HTTP answer.

Owns both ways to it: inside a route, where FastAPI writes the result, and outside of one (the polling route), where
the same answer is made with the route's options.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from durably.web.calls import Accepted, Done, Failed
from durably_fastapi.endpoint import DurableEndpoint

__all__ = ["answer"]


async def answer(endpoint: DurableEndpoint | None, outcome: Done | Accepted | Failed, request: Request) -> Response:
    """Give the answer that the endpoint's own route gives for `outcome`; for the polling route.

    Args:
        endpoint: `find_endpoint` of the handler that was invoked; None for a handler that is no endpoint, whose result
            is answered as it is.
        outcome: From `durably.web.calls.poll`.
        request: Of the poll.

    Raises:
        HTTPException: The invocation failed; the application's own handler for it writes the answer.
        RequestValidationError: As above, where the input was refused on an attempt.
    """
    raise NotImplementedError
