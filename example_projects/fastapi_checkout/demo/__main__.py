"""The shop, killed in the middle of its orders: everything is finished, and nothing is done twice.

    python -m demo                  (or `make demo` from the root of the repository)
    python -m demo --server         (or `make demo-server`)
    python -m demo --workers 2

It starts the parties outside and the shop, lets customers order, fill carts and ask for a refund, kills the shop with
SIGKILL while most of that is under way, starts it again, and waits. What it then shows was written down by the parties
outside and in the shop's database. The exit status is 0 only if everything is as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import httpx
from rich.console import Console

from demo.processes import Place
from demo.report import Outcome, report
from demo.story import tell
from durably.testing.server import RestateServer, ServerNotFoundError, find_server

console = Console(width=118, highlight=False)


async def play(place: Place) -> Outcome:
    """Have the shop used, and give what came of it."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=place.url, timeout=30, limits=limits, trust_env=False) as http:
        return await tell(place, http, console)


def main() -> int:
    """Run the demo in a temporary directory."""
    parser = argparse.ArgumentParser(description="Kill a shop in the middle of its orders.")
    parser.add_argument("--server", action="store_true", help="run the handlers with a Restate Server")
    parser.add_argument("--workers", type=int, default=1, help="processes of the shop (default 1)")
    given = parser.parse_args()
    begun = time.monotonic()
    try:
        server = RestateServer(binary=find_server(Path(__file__))) if given.server else None
    except ServerNotFoundError as problem:
        console.print(f"[red]This demo needs a Restate Server.[/] {problem}")
        console.print("It comes as an npm package: install Node.js with npm, then run make demo-server again.")
        return 2
    with tempfile.TemporaryDirectory(prefix="checkout-") as directory, server or nullcontext():
        place = Place(Path(directory), server, given.workers)
        try:
            wrong = report(place, asyncio.run(play(place)), console)
        except (RuntimeError, TimeoutError, httpx.HTTPError) as problem:
            console.print(f"[red]{type(problem).__name__}: {problem}[/]", markup=True)
            console.print(place.shop.log.read_text()[-6000:], markup=False)
            return 1
        finally:
            place.shop.kill()
            place.outside.kill()
    for each in wrong:
        console.print(f"[red]wrong:[/] {each}")
    if wrong:
        return 1
    seconds = time.monotonic() - begun
    console.print(f"[green]Every order is finished and no step was done twice.[/] ({seconds:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
