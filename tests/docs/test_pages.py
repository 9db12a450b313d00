"""The documentation keeps its word: its code runs, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "example_projects").glob("*/*.md")])
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
# Tested one framework at a time in test_readme, within a project in tests/django, as a project in test_django_tutorial.
TESTED_ELSEWHERE = {
    ROOT / "README.md",
    ROOT / "docs" / "howto" / "django.md",
    ROOT / "docs" / "howto" / "django-admin.md",
    ROOT / "docs" / "howto" / "django-tasks.md",
    ROOT / "docs" / "tutorial" / "django.md",
}


def name_of(path: Path) -> str:
    """Give a page as the reader of a failure would type it."""
    return path.relative_to(ROOT).as_posix()


def pages_with_code() -> list[Path]:
    """List the pages whose code runs by itself."""
    return [page for page in PAGES if page not in TESTED_ELSEWHERE and CODE.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", pages_with_code(), ids=name_of)
def test_the_code_of_a_page_runs(page: Path):
    """The blocks of a page, one after the other, are a program that imports and registers."""
    namespace: dict[str, object] = {"__name__": "page"}
    for block in CODE.finditer(page.read_text(encoding="utf-8")):
        exec(compile(block[1], name_of(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    """A relative link names a file of the repository, an anchor a heading of its page."""
    broken: list[str] = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor[1:] not in anchors_of(file)):
            broken.append(target + anchor)
    assert broken == []


def anchors_of(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
