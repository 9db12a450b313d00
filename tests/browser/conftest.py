"""One site and one browser for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.chromium import browsing, require_chromium
from tests.browser.site import running_site

expect.set_options(timeout=20_000)  # machines of CI are slow


@pytest.fixture(scope="module")
def chromium() -> str:
    """Give the browser's binary."""
    return require_chromium()


@pytest.fixture(scope="module")
def site(chromium: str) -> Iterator[str]:
    """Give the URL of the site."""
    with running_site() as url:
        yield url


@pytest.fixture(scope="module")
def context(chromium: str) -> Iterator[BrowserContext]:
    """Give a browser; its module has no other event loop meanwhile."""
    with browsing(chromium) as started:
        yield started
