"""The page about testing keeps its word: what it shows is a test module, and passes as one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "testing.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFTEST = """
import anyio
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def recorded():
    import pathlib
    from test_page import record

    pathlib.Path("journals").mkdir()
    anyio.run(record)
"""


def test_the_page_is_a_test_module_that_passes(tmp_path: Path) -> None:
    """All its tests, run by pytest with the plugin and without anything else, after its journal was recorded."""
    blocks = [block[1] for block in CODE.finditer(PAGE.read_text(encoding="utf-8"))]
    module = tmp_path / "test_page.py"
    module.write_text("\n".join([*blocks, "pytestmark = pytest.mark.anyio\n"]), encoding="utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", module.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{sum(block.count('def test_') for block in blocks)} passed" in run.stdout
