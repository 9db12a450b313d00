"""Both parties in a thread of this process, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import uvicorn

from outside.bank import make_bank
from outside.effects import Effect, EffectsLog
from outside.post import PostOffice

__all__ = ["Outside", "run_outside"]


@dataclass(frozen=True, slots=True)
class Outside:
    """Parties that are running.

    Attributes:
        bank_port: Of the payment provider.
        smtp_port: Of the mail server.
        log: What happened.
    """

    bank_port: int
    smtp_port: int
    log: EffectsLog

    def effects(self, kind: str) -> list[Effect]:
        """Give what was asked for of one kind, in order."""
        return [effect for effect in self.log.read() if effect.kind == kind]


@contextmanager
def run_outside(found: Outside) -> Iterator[Outside]:
    """Run both until the end of the block; the bank answers at once."""
    config = uvicorn.Config(make_bank(found.log, 0), host="127.0.0.1", port=found.bank_port, log_level="warning")
    server = uvicorn.Server(config)

    async def run() -> None:
        async with await PostOffice(found.log).start(found.smtp_port):
            await server.serve()

    thread = Thread(target=asyncio.run, args=(run(),))
    thread.start()
    while thread.is_alive() and not server.started:
        thread.join(0.005)
    try:
        yield found
    finally:
        server.should_exit = True
        thread.join()
