"""A report app under gunicorn, killed in the middle of its reports: everything is finished, nothing is done twice.

    python -m demo                  (or `make demo-flask` from the root of the repository)
    python -m demo --server         on a real Restate Server
    python -m demo --workers 2

It starts a mail server and gunicorn with four `sync` workers, lets people have reports built and released and mailed,
kills all of gunicorn with SIGKILL while most of that is under way, starts it again, and waits. The tables show what the
application's database and the mail server have written down. The exit status is 0 only if all of it is right.
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

from demo.places import Place
from demo.report import report
from demo.story import Story
from durably.testing.server import RestateServer, ServerNotFoundError, find_server

console = Console(width=120, highlight=False)


def main() -> int:
    """Run the demo in a temporary directory."""
    parser = argparse.ArgumentParser(description="Kill a report app in the middle of its reports.")
    parser.add_argument("--server", action="store_true", help="run the handlers with a Restate Server")
    parser.add_argument("--workers", type=int, default=4, help="gunicorn's sync workers (default 4)")
    given = parser.parse_args()
    begun = time.monotonic()
    try:
        server = RestateServer(binary=find_server(Path(__file__))) if given.server else None
    except ServerNotFoundError as problem:
        console.print(f"[red]This demo needs a Restate Server.[/] {problem}")
        console.print("It comes as an npm package: install Node.js with npm, then run make demo-server once.")
        return 2
    with tempfile.TemporaryDirectory(prefix="reports-") as directory, server or nullcontext():
        place = Place(Path(directory), server, given.workers)
        story = Story(place, console)
        try:
            asyncio.run(story.tell())
            wrong = report(place, story.outcome, console)
        except (RuntimeError, TimeoutError, httpx.HTTPError) as problem:
            console.print(f"{type(problem).__name__}: {problem}", style="red", markup=False)
            console.print(place.app.log.read_text()[-6000:], markup=False)
            return 1
        finally:
            place.app.kill()
            place.postoffice.kill()
    for each in wrong:
        console.print(f"wrong: {each}", style="red", markup=False)
    if wrong:
        return 1
    seconds = time.monotonic() - begun
    console.print(f"[green]Every report is finished and no step was done twice.[/] ({seconds:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
