"""Run both parties until they are stopped: `python -m outside --bank 8101 --smtp 8125 --log effects.jsonl`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvicorn

from outside.bank import make_bank
from outside.effects import EffectsLog
from outside.post import PostOffice


async def run(bank_port: int, smtp_port: int, log: Path) -> None:
    """Listen on both ports."""
    effects = EffectsLog(log)
    config = uvicorn.Config(make_bank(effects), host="127.0.0.1", port=bank_port, log_level="warning")
    async with await PostOffice(effects).start(smtp_port):
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The parties outside the shop.")
    parser.add_argument("--bank", type=int, default=8101, help="port of the payment provider")
    parser.add_argument("--smtp", type=int, default=8125, help="port of the mail server")
    parser.add_argument("--log", type=Path, default=Path("effects.jsonl"), help="file for the effects")
    given = parser.parse_args()
    asyncio.run(run(given.bank, given.smtp, given.log))
