"""Rules about the code of the package: what it exports, what it says about itself, what it never does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "core" / "durably"
MODULES = sorted(CORE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Give a path as the reader of a failure would look for it."""
    return path.relative_to(CORE).as_posix()


def parse(path: Path) -> ast.Module:
    """Read the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(tree: ast.Module) -> list[str] | None:
    """Give the literal `__all__`, or None if there is none."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return ast.literal_eval(node.value)
    return None


def public_definitions(tree: ast.Module) -> list[str]:
    """Give the public functions and classes that a module defines itself."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_owns(path: Path):
    """Every module begins with a docstring."""
    assert ast.get_docstring(parse(path)), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=name_of)
def test_all_is_complete(path: Path):
    """`__all__` lists every public function and class of a module once, so that nothing is public by accident."""
    tree = parse(path)
    names = exported(tree)
    assert names is not None, f"{name_of(path)} has no __all__"
    assert [name for name in public_definitions(tree) if name not in names] == []
    assert names == list(dict.fromkeys(names))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_names_what_exists(path: Path):
    """Every name in `__all__` is bound in the module."""
    tree = parse(path)
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    has_dynamic_names = "__getattr__" in bound or path.with_suffix(".pyi").is_file()
    assert has_dynamic_names or [name for name in exported(tree) or [] if name not in bound] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_core_never_prints(path: Path):
    """A library leaves the standard output to the application."""
    calls = [
        f"line {node.lineno}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_have_docstrings(path: Path):
    """Public functions, classes and methods say what they do; an overload leaves it to the implementation."""
    silent: list[str] = []

    def look(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if child.name.startswith("_"):
                continue
            decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in child.decorator_list}
            if ast.get_docstring(child) is None and not decorators & {"overload", "override", "setter", "deleter"}:
                silent.append(f"{prefix}{child.name} (line {child.lineno})")
            if isinstance(child, ast.ClassDef):
                look(child, f"{child.name}.")

    look(parse(path), "")
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_error_is_swallowed(path: Path):
    """No handler of a broad exception ignores it without a word."""
    broad = {"Exception", "BaseException"}
    silent = [
        f"line {node.lineno}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in broad)
        and all(isinstance(statement, ast.Pass) for statement in node.body)
    ]
    assert silent == []
