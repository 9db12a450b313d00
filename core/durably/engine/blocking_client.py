"""The client of an engine in the same process, for code that blocks.

Owns the step from the calling thread to the engine's event loop; what is asked is `EngineClient`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from durably.client.blocking_durable import BlockingDurablyClient
from durably.client.channels import Channel, Ending, Resolution
from durably.client.interfaces import InvocationAnswer, InvocationRef, RestateClientSendHandle
from durably.client.targets import Call
from durably.engine.client import EngineClient

__all__ = ["BlockingEngineChannel", "BlockingEngineClient"]

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


class BlockingEngineClient(BlockingDurablyClient):
    """Reaches the handlers of an engine in this process. `Engine.sync_client` makes one; there is nothing to close.

    Its methods block, and raise what those of `EngineClient` raise. Not for the thread of the engine's event loop.
    """

    def __init__(self, client: EngineClient, run: Runner) -> None:
        """Ask through `client`; `run` runs a coroutine on the engine's loop and waits for it."""
        super().__init__(BlockingEngineChannel(client.channel, run))


class BlockingEngineChannel:
    """Carries requests to the engine's event loop, and waits; see `BlockingChannel`."""

    def __init__(self, channel: Channel, run: Runner) -> None:
        """Ask through `channel`, on the loop that `run` knows."""
        self._channel = channel
        self._run = run

    def invoke(self, call: Call, timeout: timedelta | None) -> InvocationAnswer:
        """Call and wait for the result."""
        answer: InvocationAnswer = self._run(self._channel.invoke(call, timeout))
        return answer

    def send(self, call: Call, delay: timedelta | None, timeout: timedelta | None) -> RestateClientSendHandle:
        """Start; it is stored when this returns."""
        handle: RestateClientSendHandle = self._run(self._channel.send(call, delay, timeout))
        return handle

    def attach(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer:
        """Wait for a result."""
        answer: InvocationAnswer = self._run(self._channel.attach(invocation, timeout))
        return answer

    def output(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer | None:
        """Look for a result; None while there is none."""
        answer: InvocationAnswer | None = self._run(self._channel.output(invocation, timeout))
        return answer

    def end(self, invocation_id: str, how: Ending, timeout: timedelta | None) -> None:
        """Cancel or kill."""
        self._run(self._channel.end(invocation_id, how, timeout))

    def complete_awakeable(self, awakeable_id: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Complete an awakeable."""
        self._run(self._channel.complete_awakeable(awakeable_id, resolution, timeout))

    def complete_signal(self, invocation_id: str, name: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Send a signal."""
        self._run(self._channel.complete_signal(invocation_id, name, resolution, timeout))
