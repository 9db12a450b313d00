"""A resource for steps that remembers when it was open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from durably.authoring.step_managers import StepInfo, StepManager

__all__ = ["Resource"]


class Resource:
    """A resource that remembers who opened and closed it."""

    def __init__(self, log: list[str], name: str = "db", **given: Any) -> None:
        self.log, self.name, self.given = log, name, given
        self.thread = 0
        self.open = 0

    def factory(self, info: StepInfo) -> StepManager:
        """Make the synchronous manager."""

        @contextmanager
        def manager() -> Iterator[dict[str, Any]]:
            self._opened(info)
            try:
                yield {self.name: self} | self.given
            except BaseException as error:
                self.log.append(f"{type(error).__name__} in {info.name}")
                raise
            finally:
                self._closed(info)

        return manager()

    def async_factory(self, info: StepInfo) -> StepManager:
        """Make the asynchronous manager."""

        @asynccontextmanager
        async def manager() -> AsyncIterator[dict[str, Any]]:
            await asyncio.sleep(0)
            self._opened(info)
            try:
                yield {self.name: self} | self.given
            except BaseException as error:
                self.log.append(f"{type(error).__name__} in {info.name}")
                raise
            finally:
                await asyncio.sleep(0)
                self._closed(info)

        return manager()

    def _opened(self, info: StepInfo) -> None:
        self.thread = threading.get_ident()
        self.open += 1
        self.log.append(f"open {self.name} for {info.name}")

    def _closed(self, info: StepInfo) -> None:
        self.open -= 1
        self.log.append(f"close {self.name} for {info.name}")
