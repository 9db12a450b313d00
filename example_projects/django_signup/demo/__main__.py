"""The project, killed while people sign up and order: everything is finished, and nothing is done twice.

    python -m demo              (or `make demo-django` from the root of the repository)
    python -m demo --workers 1
    python -m demo --stay       goes on serving, to look at /admin/

It starts gunicorn, lets people sign up and order, kills all of its processes with SIGKILL while that is under way,
starts it again, and lets a week pass, of days that last little more than a second. What it then shows is in the mails
and in the project's database. The exit status is 0 only if everything is as it must be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console

from demo.place import STAFF, Place
from demo.report import report
from demo.story import Story

console = Console(width=120, highlight=False)


def main() -> int:
    """Run the demo in a temporary directory."""
    parser = argparse.ArgumentParser(description="Kill a project while people sign up and order.")
    parser.add_argument("--workers", type=int, default=4, help="processes of gunicorn (4)")
    parser.add_argument("--stay", action="store_true", help="go on serving until Ctrl-C")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="signup-", ignore_cleanup_errors=True) as directory:
        place = Place(Path(directory), given.workers)
        try:
            story = Story(place, console)
            story.tell()
            wrong = report(story, console)
            for each in wrong:
                console.print(f"[red]wrong:[/] {each}")
            if not wrong:
                seconds = time.monotonic() - begun
                console.print(f"[green]Every sign-up is finished and no step was done twice.[/] ({seconds:.1f} s)")
            if given.stay:
                _stay(place)
        except (RuntimeError, TimeoutError, httpx.HTTPError) as problem:
            console.print(f"[red]{type(problem).__name__}: {problem}[/]", markup=True)
            console.print(place.log.read_text()[-6000:] if place.log.exists() else "", markup=False)
            return 1
        finally:
            place.kill()
    return 1 if wrong else 0


def _stay(place: Place) -> None:
    name, password = STAFF
    console.print(f"{place.url}/admin/ is there until Ctrl-C; sign in as {name!r} with {password!r}.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
