"""Chromium without a window, driven by Playwright.

Owns where it is found and how it is started. Debian's package `chromium` is what is meant; another binary is named by
`DURABLY_CHROMIUM`. Nothing is downloaded, and pages come from this machine only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

__all__ = ["browsing", "find_chromium", "log_in", "require_chromium"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS: Final = 20_000


def find_chromium() -> str | None:
    """Give the binary, or None where there is none."""
    return os.environ.get("DURABLY_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def require_chromium() -> str:
    """Give the binary, or skip or fail the test that asks."""
    found = find_chromium()
    if found is not None:
        return found
    reason = "no Chromium: apt-get install -y --no-install-recommends chromium, or set DURABLY_CHROMIUM"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def browsing(binary: str) -> Generator[BrowserContext]:
    """Start a browser with an empty profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, sync_playwright() as playwright:
        options: dict[str, Any] = {"viewport": {"width": 1280, "height": 640}, "args": list(_SWITCHES)}
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=binary, headless=True, timeout=_PATIENCE_MS, **options
        )
        context.set_default_timeout(_PATIENCE_MS)
        try:
            yield context
        finally:
            context.close()


def log_in(context: BrowserContext, url: str, name: str, password: str) -> Page:
    """Open a page of the admin pages for an account; whoever was logged in before is not any more."""
    context.clear_cookies()
    page = context.new_page()
    page.goto(f"{url}/admin/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.click("input[type=submit]")
    page.wait_for_selector("#user-tools")
    return page
