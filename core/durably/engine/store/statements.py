"""The SQL of the engine, by name.

Owns reading `schema/statements.sql`: every statement has a name and says there what it is for, so
that SQL is reviewed as SQL and no text is put together at run time. Values go in as parameters.

    -- name: due_timers
    -- The timers that are due, earliest first.
    SELECT … WHERE due_ms <= :now_ms ORDER BY due_ms LIMIT :limit;
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final

__all__ = ["SQL", "STATEMENTS", "Statement", "parse_statements"]

_NAME: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        name: Unique.
        description: What it is for; never empty.
        sql: Its text, without comments and without the final semicolon.
    """

    name: str
    description: str
    sql: str


def parse_statements(text: str) -> dict[str, Statement]:
    """Cut a file into its statements, by name.

    Raises:
        ValueError: A statement has no description or no text, is named twice, or text stands before the first name.
    """
    found: dict[str, Statement] = {}
    name: str | None = None
    description: list[str] = []
    sql: list[str] = []

    def finish() -> None:
        if name is None:
            return
        text = "\n".join(sql).strip().removesuffix(";")
        if not description or not text or name in found:
            raise ValueError(f"The statement {name!r} has no description, no text, or stands there twice.")
        found[name] = Statement(name, " ".join(description), text)

    for line in text.splitlines():
        match = _NAME.match(line)
        if match is not None:
            finish()
            name, description, sql = match[1], [], []
        elif line.startswith("--"):
            description.append(line.removeprefix("--").strip())
        elif line.strip():
            if name is None:
                raise ValueError(f"{line!r} stands before the first name.")
            sql.append(line.rstrip())
    finish()
    return found


STATEMENTS: Final[Mapping[str, Statement]] = MappingProxyType(
    parse_statements(
        resources.files("durably.engine.store").joinpath("schema", "statements.sql").read_text(encoding="utf-8")
    )
)

SQL: Final[Mapping[str, str]] = MappingProxyType({name: statement.sql for name, statement in STATEMENTS.items()})
"""Name → text."""
