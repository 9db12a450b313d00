"""Who waits for an answer.

Owns the tokens that requests carry through the state machine, and the futures behind them. Nothing of it is stored:
a request that waits when the process ends is lost with its connection, and asks again.
"""

from __future__ import annotations

import asyncio

from durably.engine.actions import Failed, Outcome, Success

__all__ = ["Replies"]


class Replies:
    """All open requests of an engine; for its event loop only."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last_token = 0
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._waiting: dict[str, list[int]] = {}
        self._awaited: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def expect(self) -> tuple[int, asyncio.Future[Outcome]]:
        """Give a new token, and the future that its answer arrives in."""
        self._last_token = token = self._last_token + 1
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures[token] = future
        return token, future

    def answer(self, token: int, outcome: Outcome) -> None:
        """Answer one request, if it still waits."""
        future = self._futures.pop(token, None)
        if future is not None and not future.done():
            future.set_result(outcome)

    def fail(self, token: int, error: Exception) -> None:
        """Raise at one request, if it still waits."""
        future = self._futures.pop(token, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def hold(self, token: int, invocation_id: str) -> None:
        """Keep a request open until the invocation is settled."""
        if token not in self._futures:
            return
        self._waiting.setdefault(invocation_id, []).append(token)
        self._awaited[token] = invocation_id

    def settle(self, invocation_id: str, outcome: Success | Failed) -> None:
        """Answer all who wait for an invocation."""
        for token in self._waiting.pop(invocation_id, ()):
            self._awaited.pop(token, None)
            self.answer(token, outcome)

    def forget(self, token: int) -> None:
        """Drop a request whose client is gone."""
        self._futures.pop(token, None)
        invocation_id = self._awaited.pop(token, None)
        if invocation_id is None:
            return
        tokens = self._waiting[invocation_id]
        tokens.remove(token)
        if not tokens:
            del self._waiting[invocation_id]

    def fail_all(self, error: Exception) -> None:
        """Raise at everybody who waits."""
        futures, self._futures = self._futures, {}
        self._waiting.clear()
        self._awaited.clear()
        for future in futures.values():
            if not future.done():
                future.set_exception(error)
