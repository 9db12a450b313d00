"""The pictures of the admin pages in the documentation.

`make pictures` makes them anew, in `docs/images`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import BrowserContext

from tests.browser.chromium import browsing, find_chromium, log_in
from tests.browser.site import PASSWORD, running_site

__all__ = ["FOLDER", "NAMES", "take"]

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
NAMES: Final = ("django-admin-list.png", "django-admin-invocation.png", "django-admin-cancel.png")


def take(context: BrowserContext, url: str, folder: Path) -> None:
    """Make the pictures of a site."""
    page = log_in(context, url, "ada", PASSWORD)
    page.goto(f"{url}/admin/durably/invocation/")
    page.click("#toggle-nav-sidebar")
    page.reload()
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=folder / NAMES[0])
    page.goto(f"{url}/admin/durably/invocation/?status=open")
    page.click("text=checkout/place >> nth=0")
    page.wait_for_selector("#journal")
    page.screenshot(path=folder / NAMES[1], full_page=True)
    page.click("button[value=cancel]")
    page.wait_for_selector("text=This cannot be undone")
    page.screenshot(path=folder / NAMES[2], clip={"x": 0, "y": 0, "width": 1280, "height": 360})
    page.close()


def main() -> None:
    """Make all of them."""
    binary = find_chromium()
    if binary is None:
        sys.exit("Chromium was not found: apt-get install -y --no-install-recommends chromium")
    FOLDER.mkdir(exist_ok=True)
    with running_site(is_hostile=False) as url, browsing(binary) as context:
        take(context, url, FOLDER)
    for name in NAMES:
        print(f"{name}: {(FOLDER / name).stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
