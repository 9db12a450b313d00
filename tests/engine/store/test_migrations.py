"""Bringing files to the schema: forward only, whole or not at all, with a copy before."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from durably.engine.store import migrations
from durably.engine.store.migrations import APPLICATION_ID, MIGRATIONS, Migration, migrate, statements_of
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreCorruptError, StoreSchemaError

SECOND = Migration(2, "second", "-- more\nALTER TABLE engine ADD COLUMN more TEXT;\nCREATE TABLE extra (x);\n")
BROKEN = Migration(3, "broken", "CREATE TABLE fine (x);\nCREATE TABLE extra (x);\n")


def open_file(path: Path) -> sqlite3.Connection:
    """Open a file without our checks."""
    return sqlite3.connect(path, isolation_level=None)


def dump(path: Path) -> list[str]:
    """Give everything in a file."""
    connection = open_file(path)
    found = [*connection.iterdump(), str(connection.execute("PRAGMA user_version").fetchone())]
    connection.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the first schema."""
    path = tmp_path / "engine.db"
    os.close(os.open(path, os.O_CREAT, 0o600))
    connection = open_file(path)
    migrate(connection, str(path), MIGRATIONS[:1])
    connection.close()
    return path


def test_a_new_file_gets_every_migration(tmp_path: Path):
    """A new file ends at the newest version, marked as ours, without a copy beside it."""
    SqliteStore(str(tmp_path / "engine.db")).close()
    connection = open_file(tmp_path / "engine.db")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == MIGRATIONS[-1].version
    assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["engine.db"]


def test_an_old_file_moves_forward(path: Path):
    """What is missing is run, once, and the file as it was stays beside it, private."""
    before = dump(path)
    connection = open_file(path)
    assert migrate(connection, str(path), [*MIGRATIONS[:1], SECOND]) == 1
    assert migrate(connection, str(path), [*MIGRATIONS[:1], SECOND]) == 2
    assert connection.execute("SELECT epoch, more FROM engine").fetchall() == [(0, None)]
    connection.close()
    backup = path.with_name("engine.db.schema-1.backup")
    assert dump(backup) == before
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_failing_migration_changes_nothing(path: Path):
    """When the last of three migrations fails, the first two are undone as well; the next try can succeed."""
    before = dump(path)
    connection = open_file(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, str(path), [*MIGRATIONS[:1], SECOND, BROKEN])
    assert not connection.in_transaction
    assert dump(path) == before
    assert migrate(connection, str(path), [*MIGRATIONS[:1], SECOND]) == 1
    connection.close()


def test_a_crash_amid_the_copy_is_no_obstacle(path: Path):
    """A copy that a crash left half done is replaced."""
    path.with_name("engine.db.schema-1.backup.partial").write_bytes(b"half")
    connection = open_file(path)
    migrate(connection, str(path), [*MIGRATIONS[:1], SECOND])
    connection.close()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["engine.db", "engine.db.schema-1.backup"]


def test_a_newer_file_is_refused(path: Path):
    """A file of a newer release is not touched, and the error names both versions."""
    connection = open_file(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = dump(path)
    with pytest.raises(StoreSchemaError) as caught:
        SqliteStore(str(path))
    assert (caught.value.found, caught.value.expected) == (99, MIGRATIONS[-1].version)
    assert "99" in str(caught.value)
    assert dump(path) == before


@pytest.mark.parametrize("version", [0, 1])
def test_another_programs_file_is_refused(tmp_path: Path, version: int):
    """A database that is not ours is not touched, with and without a version of its own."""
    path = tmp_path / "engine.db"
    connection = open_file(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = dump(path)
    with pytest.raises(StoreSchemaError, match="another program") as caught:
        SqliteStore(str(path))
    assert caught.value.found == -1
    assert dump(path) == before


def test_what_is_no_database_is_refused(tmp_path: Path):
    """A text file is not overwritten."""
    path = tmp_path / "engine.db"
    path.write_text("not a database, but somebody's notes\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError):
        SqliteStore(str(path))
    assert path.read_bytes() == before


def test_scripts_are_cut_where_sqlite_cuts():
    """Semicolons in texts, comments and triggers do not end a statement; an unfinished one is an error."""
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\n  DELETE FROM c;\nEND;"
    script = f"-- a; comment\nSELECT ';';\n{trigger}\n-- the end;\n"
    assert list(statements_of(script)) == ["-- a; comment\nSELECT ';';", trigger]
    with pytest.raises(ValueError, match="inside a statement"):
        list(statements_of("SELECT 1;\nSELECT 2"))


def test_migrations_are_numbered_without_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A missing number is found at import, not on a user's file."""
    (tmp_path / "schema").mkdir()
    for name in ("0001_a.sql", "0003_c.sql", "statements.sql"):
        (tmp_path / "schema" / name).write_text("SELECT 1;")
    monkeypatch.setattr(migrations.resources, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="without a gap"):
        migrations.load_migrations()
