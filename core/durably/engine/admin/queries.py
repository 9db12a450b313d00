"""`POST /query`: SQL in, JSON rows out.

| request | answer |
|---|---|
| `{"query": "SELECT …"}` | 200 `{"rows": [{column: value}, …]}`, absent values left out |
| SQL that does more than read, or fails | 400 `{"message"}` |
| a query that takes too long, or one too many at once | 503 `{"message"}` |
| `Accept` names only Arrow | 406: rows are JSON here |
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from durably.engine.admin.bodies import QueryRequest
from durably.engine.admin.requests import Endpoints, json_response
from durably.engine.api import EngineApi
from durably.engine.query.runner import PreparedQuery, QueryError

__all__ = ["QueryEndpoints"]

_AT_ONCE: Final = 2
_WAITING: Final = 64


class QueryEndpoints(Endpoints):
    """Endpoints about queries. They have threads of their own: the engine's readers never wait for a query."""

    def __init__(self, api: EngineApi) -> None:
        """Ask `api`."""
        super().__init__(api)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="durably-query")
        self._open = 0

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [Route("/query", self._query, methods=["POST"])]

    async def _query(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if accept.startswith("application/vnd.apache.arrow") and "json" not in accept and "*/*" not in accept:
            return json_response({"message": "Rows are JSON: send `accept: application/json`."}, 406)
        asked = await self.body(request, QueryRequest)
        if self._open >= _AT_ONCE + _WAITING:
            return json_response({"message": "Too many queries at once."}, 503, {"retry-after": "1"})
        self._open += 1
        try:
            rows = await self._rows(asked.query)
        except QueryError as error:
            return json_response({"message": error.message}, error.status)
        finally:
            self._open -= 1
        return Response(rows, media_type="application/json")

    async def _rows(self, sql: str) -> bytes:
        now_ms = self.api.now_ms()
        query = await self.api.read(lambda reader: PreparedQuery(reader, sql))
        running = self._threads.submit(query.run, now_ms=now_ms)
        running.add_done_callback(lambda done: query.close() if done.cancelled() else None)
        return await asyncio.wrap_future(running)
