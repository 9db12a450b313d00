"""Writes `docs/reference/errors.md` from the exception classes of the package.

python -m tools.error_reference

Owns the page's form. A test compares the page with what this writes, so the page cannot fall behind the classes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import durably

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "errors.md"

_INTRODUCTION = """\
# Errors

The tree of errors is in `durably.errors`; all of them derive from `DurablyError`. The *signals* derive from
`BaseException` instead: they unwind a handler and are not to be caught. This page is written from the classes by
`python -m tools.error_reference`.

The code is what travels: the protocol's error code or the HTTP status. A dash means that the class has none of its own.
"""


_INTERNAL = (
    "durably.cli.",
    "durably.engine.admin.",
    "durably.engine.core.",
    "durably.engine.ingress.",
    "durably.engine.query.",
    "durably.operations.",
)
"""Folders whose own exceptions become answers, messages or failures of attempts before anyone could catch them."""


def error_classes() -> list[type[BaseException]]:
    """List the public exception classes: those of the tree in the order of its file, then those of other modules."""
    found: set[type[BaseException]] = set()
    for module in pkgutil.walk_packages(durably.__path__, "durably."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            is_ours = inspect.isclass(value) and value.__module__ == module.name and not name.startswith("_")
            if is_ours and issubclass(value, BaseException) and not module.name.startswith(_INTERNAL):
                found.add(value)
    return sorted(found, key=lambda kind: (kind.__module__ != "durably.errors", kind.__module__, _line_of(kind)))


def _line_of(kind: type[BaseException]) -> int:
    return inspect.getsourcelines(kind)[1]


def code_of(kind: type[BaseException]) -> str:
    """Give the code that a class carries, or that its constructor uses unless told otherwise."""
    code = getattr(kind, "code", None)
    if code is None and "__init__" in vars(kind):
        parameter = inspect.signature(kind).parameters.get("status_code")
        if parameter is not None:
            code = "the answer's" if parameter.default is inspect.Parameter.empty else parameter.default
    elif code is None and issubclass(kind.__bases__[0], BaseException) and kind.__bases__[0] is not BaseException:
        return code_of(kind.__bases__[0])
    return "–" if code is None else str(code)


def bases_of(kind: type[BaseException]) -> str:
    """Name the direct bases."""
    return ", ".join(f"`{base.__name__}`" for base in kind.__bases__)


def render() -> str:
    """Write the page."""
    parts = [_INTRODUCTION, "| error | is a | code | meaning |\n|---|---|---|---|"]
    for kind in error_classes():
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        parts[-1] += (
            f"\n| [`{kind.__name__}`](#{kind.__name__.lower()}) | {bases_of(kind)} | {code_of(kind)} | {summary} |"
        )
    parts += [
        f"\n## {kind.__name__}\n\n`{kind.__module__}.{kind.__name__}`\n\n{_body(inspect.getdoc(kind) or '')}"
        for kind in error_classes()
    ]
    return "\n".join(parts) + "\n"


def _body(docstring: str) -> str:
    """Turn a Google-style docstring into Markdown: sections become bold words, attributes become a list."""
    lines: list[str] = []
    in_section = False
    for line in docstring.splitlines():
        if line in {"Attributes:", "Args:", "Raises:"}:
            in_section = True
            lines += [f"**{line[:-1]}**", ""]
        elif in_section and line.startswith("    ") and not line.startswith("     "):
            name, _, text = line.strip().partition(": ")
            lines.append(f"* `{name}`: {text}")
        elif in_section and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            in_section = False
            lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Write the file."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.name}: {len(error_classes())} errors")


if __name__ == "__main__":
    main()
