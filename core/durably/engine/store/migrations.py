"""Bringing a file to the schema of this release.

Owns `user_version`, `application_id` and the order of the files `schema/NNNN_*.sql`. A file only
moves forward: all missing migrations run in one transaction under the write lock, after a copy of
the file was made beside it, and a file from a newer release is refused.

    user_version   application_id   tables   meaning
    0              0                none     new: create everything
    0              any              some     another program's file: refused
    1 … newest     ours             –        back it up, run what is missing
    > newest       ours             –        a newer release wrote it: refused
    > 0            not ours         –        another program's file: refused
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from durably.engine.store.files import FILE_MODE
from durably.errors import StoreSchemaError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "Migration", "load_migrations", "migrate", "statements_of"]

APPLICATION_ID: Final = 0x44757261  # "Dura": what `file` and SQLite's own header show

_FILE_NAME: Final = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes:
        version: 1, 2, …; the file's `user_version` after it.
        name: What it does, from its file name.
        sql: The whole file.
    """

    version: int
    name: str
    sql: str


def load_migrations() -> tuple[Migration, ...]:
    """Read the migrations of this release, oldest first.

    Raises:
        ValueError: Their numbers are not 1, 2, 3, …
    """
    found: list[Migration] = []
    for entry in resources.files("durably.engine.store").joinpath("schema").iterdir():
        match = _FILE_NAME.match(entry.name)
        if match is not None:
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"The migrations are not numbered 1 to {len(found)} without a gap.")
    return tuple(found)


def statements_of(script: str) -> Iterator[str]:
    """Cut a script where SQLite itself sees the end of a statement; a statement ends at the end of a line."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending.strip()
            pending = ""
    if re.sub(r"--.*", "", pending).strip():
        raise ValueError(f"The script ends inside a statement: {pending.strip()[:80]!r}")


MIGRATIONS: Final = load_migrations()


def migrate(connection: sqlite3.Connection, path: str, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the file to the newest schema; if anything fails, it stays as it was.

    Args:
        connection: The writer, outside a transaction.
        path: Its file; the copy goes to `<path>.schema-<version>.backup`.
        migrations: All of them, oldest first.

    Returns:
        The version that was found; 0 for a new file.

    Raises:
        StoreSchemaError: The file is newer than this release, or is not ours.
        sqlite3.Error: As SQLite raises it.
    """
    newest = migrations[-1].version
    if _version_of(connection, path, newest) == newest:
        return newest
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version_of(connection, path, newest)  # again, now that nobody else can change it
        if 0 < found < newest:
            _back_up(path, f"{path}.schema-{found}.backup")
        for migration in migrations[found:]:
            for statement in statements_of(migration.sql):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {newest}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return found


def _version_of(connection: sqlite3.Connection, path: str, newest: int) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == 0 and tables == 0:
        return 0
    if version == 0 or application != APPLICATION_ID:
        raise StoreSchemaError(
            f"{path} is the database of another program.",
            found=-1,
            expected=newest,
            hint="Give the engine a file of its own.",
        )
    if version > newest:
        raise StoreSchemaError(
            f"{path} has schema {version}; this release of durably knows schemas up to {newest}.",
            found=version,
            expected=newest,
            hint="Install the release that wrote it, or a newer one. A file never goes back to an older schema.",
        )
    return version


def _back_up(path: str, target: str) -> None:
    """Copy the committed contents to `target`, whole or not at all; the caller holds the write lock."""
    partial = f"{target}.partial"
    if os.path.lexists(partial):
        os.unlink(partial)  # a crash left it
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))
    source = sqlite3.connect(path)
    try:
        copy = sqlite3.connect(partial)
        try:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = delete")  # one file, no side files
        finally:
            copy.close()
    finally:
        source.close()
    _sync(partial)
    os.replace(partial, target)
    _sync(os.path.dirname(target))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
