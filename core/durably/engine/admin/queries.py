"""`POST /query`: SQL in, JSON rows out.

| request | answer |
|---|---|
| `{"query": "SELECT …"}` | 200 `{"rows": [{column: value}, …]}`, absent values left out |
| SQL that does more than read, or fails | 400 `{"message"}` |
| a query that takes too long | 503 `{"message"}` |
| `Accept` names only Arrow | 406: rows are JSON here |
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from durably.engine.admin.bodies import QueryRequest
from durably.engine.admin.requests import Endpoints, json_response
from durably.engine.query.runner import QueryError, run_query

__all__ = ["QueryEndpoints"]


class QueryEndpoints(Endpoints):
    """Endpoints about queries."""

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [Route("/query", self._query, methods=["POST"])]

    async def _query(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if accept.startswith("application/vnd.apache.arrow") and "json" not in accept and "*/*" not in accept:
            return json_response({"message": "Rows are JSON: send `accept: application/json`."}, 406)
        asked = await self.body(request, QueryRequest)
        now_ms = self.api.now_ms()
        try:
            rows = await self.api.read(lambda reader: run_query(reader, asked.query, now_ms=now_ms))
        except QueryError as error:
            return json_response({"message": error.message}, error.status)
        return Response(rows, media_type="application/json")
