"""Rules about the files of the repository: their size, their twins in the tests, what they may say."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "durably"
MAX_LINES = 450

# Core modules without a test module of the same name, and what tests them instead.
_NAMES = "names of other modules; tests/authoring/test_peer_compatibility.py imports each of them"
_CLIENTS = "tests/client/test_client.py runs both clients through one set of tests"
_STORES = "tests/engine/store/test_contract*.py hold both stores to one contract"
TESTED_BY_THEME: dict[str, str] = {
    "cli": "the command line is tested by command, as it is typed, against both runtimes",
    "operations": "what commands and admin pages share is tested by theme, on a real server and on both engines",
    ".": "the command line's modules are run as processes by tests/engine/suite and tests/engine/runtime",
    "engine": "the parts of a running engine are tested together, by theme, in tests/engine/runtime and beside it",
    "engine/admin": "the admin API is compared with the real server's, route by route",
    "engine/core": "one state machine: its modules are tested by theme, as the runtime's rules are",
    "testing": "the parts of a harness are tested through it: what it runs, what it finds, what it says",
    "engine/ingress": "the ingress is tested by route and by rule, and compared with the real server's",
}

MIRROR_EXCEPTIONS: dict[str, str] = {
    "asyncio.py": _NAMES,
    "authoring/drivers.py": "interfaces only; both drivers have their tests",
    "authoring/handler_types.py": "a type only; tests/typing/calls.py has mypy and pyright read it",
    "client/aio.py": _CLIENTS,
    "client/blocking.py": _CLIENTS,
    "client/blocking_durable.py": _CLIENTS,
    "client/blocking_verbs.py": _CLIENTS,
    "client/channels.py": _CLIENTS,
    "client/durable.py": _CLIENTS,
    "client/interfaces.py": _CLIENTS,
    "client/verbs.py": _CLIENTS,
    "client_types.py": _NAMES,
    "engine/store/memory.py": _STORES,
    "engine/store/memory_rows.py": _STORES,
    "engine/store/sqlite_reads.py": _STORES,
    "entry_codec.py": _NAMES,
    "exceptions.py": _NAMES,
    "extensions.py": _NAMES,
    "handler.py": _NAMES,
    "logging.py": _NAMES,
    "object.py": _NAMES,
    "retry_policy.py": _NAMES,
    "service.py": _NAMES,
    "types.py": _NAMES,
    "workflow.py": _NAMES,
}

# Facts about one machine, or hosts that a reader may not be able to reach.
FORBIDDEN_TEXT = re.compile(
    r"(?:^|[^\w.])/(?:work|root|home|tmp/w)/"
    + r"|registry\."
    + r"npmjs|pypi\.org/"
    + r"simple|files\."
    + r"pythonhosted"
)


def repository_files(*patterns: str) -> list[Path]:
    """List what git tracks or would track, so that generated files stay out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted({ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()})


def name_of(path: Path) -> str:
    """Give a path as the reader of a failure would type it."""
    return path.relative_to(ROOT).as_posix()


def core_modules() -> list[Path]:
    """List the modules of the package, without the `__init__` of each folder."""
    return [path for path in sorted(CORE.rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", repository_files("*.py"), ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path: Path):
    """No Python file is longer than the cap; a longer one has more than one subject."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name_of(path)} has {lines} lines: split it by subject"


@pytest.mark.parametrize("path", core_modules(), ids=name_of)
def test_a_module_has_its_tests(path: Path):
    """Each module has a test module of its name (and an ending) in the mirrored folder, or is listed with a reason."""
    relative = path.relative_to(CORE)
    folder = ROOT / "tests" / relative.parent
    twins = [*folder.glob(f"test_{relative.stem}.py"), *folder.glob(f"test_{relative.stem}_*.py")]
    reason = MIRROR_EXCEPTIONS.get(relative.as_posix())
    if reason is None and relative.parent.as_posix() in TESTED_BY_THEME:
        assert list(folder.glob("test_*.py")) or list((ROOT / "tests" / "engine").glob("*/test_*.py"))
    elif reason is None:
        assert twins, f"write {name_of(folder)}/test_{relative.name}, or list {relative.as_posix()} with a reason"
    else:
        assert not twins, f"{name_of(twins[0])} exists: take {relative.as_posix()} out of MIRROR_EXCEPTIONS"


def test_listed_exceptions_exist():
    """A module that was removed does not stay in the list of exceptions."""
    assert [name for name in MIRROR_EXCEPTIONS if not (CORE / name).is_file()] == []


def test_no_file_names_a_machine():
    """Nothing in the repository holds a path of one machine or the address of a package registry."""
    found: list[str] = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{name_of(path)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if FORBIDDEN_TEXT.search(line)
        ]
    assert found == []


@pytest.mark.parametrize("path", repository_files("tests/**.py", "example_projects/**.py"), ids=name_of)
def test_every_test_says_what_it_proves(path: Path):
    """Every test function has a docstring, so that a failure reads as a broken promise."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        f"{node.name} (line {node.lineno})"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []
