"""Running one query, safely.

Owns the connection of a query: made for it, read-only, closed after it. Rules

1. `query_only`: nothing can be written. An authorizer allows SELECT on the views, and nothing else: no tables, no
   ATTACH, no PRAGMA, no functions but those of a list.
2. The views stand on views with a random name. What is read from a table is read by one of those, or refused: a query
   cannot name them, so no common table expression can pass for one.
3. A query ends at a time limit, at a number of rows, and at a number of bytes. No function takes long by itself.
4. For a store in memory, its rows are copied into a database of the same schema first.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from durably.engine.ingress.bodies import json_bytes
from durably.engine.query.functions import ALLOWED, INTERNAL_NAMES, add_functions
from durably.engine.query.guard import Guard
from durably.engine.query.memory import copy_of
from durably.engine.query.texts import MOST_RESULT_BYTES
from durably.engine.query.views import BOOLEANS, LISTS, VIEWS
from durably.engine.store.connections import open_reader
from durably.engine.store.contract import Reader
from durably.engine.store.memory_rows import MemoryReader
from durably.engine.store.sqlite_reads import SqliteReader

__all__ = ["DEFAULT_QUERY_LIMITS", "PreparedQuery", "QueryError", "QueryLimits", "run_query"]

_MAX_SQL_BYTES: Final = 100_000
_MOST_COLUMNS: Final = 200
_MOST_ARGUMENTS: Final = 16
_WORDS: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|\bindex\b""", re.IGNORECASE | re.DOTALL
)
_WRITES: Final = re.compile(
    r"\s*(?:alter|analyze|attach|begin|commit|create|delete|detach|drop|insert|pragma|reindex|replace|rollback|set"
    r"|truncate|update|vacuum)\b",
    re.IGNORECASE,
)
_READ_ONLY: Final = (
    f"Queries only read, with SELECT, from the views {', '.join(sorted(VIEWS))}. Use the other routes of the admin API"
    " to change something, for example POST /services/{service}/state."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """How much a query may take.

    Attributes:
        seconds: How long it may run.
        rows: Most rows of its result.
        result_bytes: Most bytes of its result, as JSON.
        space_bytes: Most bytes of memory, and of disk for what it sorts.
    """

    seconds: float = 10.0
    rows: int = 100_000
    result_bytes: int = 64 * 1024 * 1024
    space_bytes: int = 512 * 1024 * 1024


DEFAULT_QUERY_LIMITS: Final = QueryLimits()


class QueryError(Exception):
    """A query that is refused, or fails.

    Attributes:
        status: 400, or 503 when it took too long.
        message: Text for the operator.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        """Keep both."""
        super().__init__(message)
        self.message = message
        self.status = status


class PreparedQuery:
    """A query with a connection of its own; `run` it once, on any thread, or `close` it.

    Args:
        reader: Of the store. It is needed for the time of this call only: a long query holds nobody up.
        sql: One SELECT.

    Raises:
        QueryError: It is refused.
        StoreError: The file cannot be read.
    """

    def __init__(self, reader: Reader, sql: str) -> None:
        """Connect."""
        _check_text(sql)
        self._sql = sql
        self._connection = _connect(reader)

    def run(self, *, now_ms: int, limits: QueryLimits = DEFAULT_QUERY_LIMITS) -> bytes:
        """Run it, and close the connection.

        Args:
            now_ms: For `now()`.
            limits: How much it may take.

        Returns:
            `{"rows": […]}`.

        Raises:
            QueryError: It is refused, or fails.
        """
        connection = self._connection
        guard = Guard(connection, seconds=limits.seconds, space_bytes=limits.space_bytes)
        try:
            _prepare(connection, now_ms)
            with guard:
                return _rows(connection, _quoted(self._sql), limits)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            raise _refused(error, guard.reason) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connection of a query that was not run."""
        self._connection.close()


def run_query(reader: Reader, sql: str, *, now_ms: int, limits: QueryLimits = DEFAULT_QUERY_LIMITS) -> bytes:
    """Prepare a query and run it at once, on one state of the store."""
    return PreparedQuery(reader, sql).run(now_ms=now_ms, limits=limits)


def _check_text(sql: str) -> None:
    if len(sql) > _MAX_SQL_BYTES:
        raise QueryError(f"The query is longer than {_MAX_SQL_BYTES} characters.")
    if not sql.strip():
        raise QueryError("The query is empty.")
    if "\0" in sql:
        raise QueryError("The query has a NUL character.")
    if _WRITES.match(sql):
        raise QueryError(_READ_ONLY)


def _connect(reader: Reader) -> sqlite3.Connection:
    match reader:
        case SqliteReader():
            return open_reader(reader.path)
        case MemoryReader():
            return copy_of(reader)
        case _:
            raise QueryError(f"A {type(reader).__name__} cannot be queried.", 501)


def _prepare(connection: sqlite3.Connection, now_ms: int) -> None:
    connection.text_factory = _text
    add_functions(connection, now_ms)
    prefix = f"v_{secrets.token_hex(8)}_"
    connection.execute("PRAGMA query_only = 0")  # which would refuse temporary views as well
    for name, select in VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {prefix}{name} AS {select}")
        connection.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {prefix}{name}")  # noqa: S608 - names of ours
    connection.execute("SELECT value FROM json_each('[]')").close()  # first use writes to SQLite's own schema
    connection.execute("SELECT value FROM json_tree('[]')").close()
    connection.execute("PRAGMA query_only = 1")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_RESULT_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, _MOST_COLUMNS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_FUNCTION_ARG, _MOST_ARGUMENTS)

    def authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
        by_view = source is not None and source.startswith(prefix)
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                allowed = True
            case sqlite3.SQLITE_FUNCTION:
                name = (second or "").lower()
                allowed = name in ALLOWED or (by_view and name in INTERNAL_NAMES)
            case sqlite3.SQLITE_READ:
                table = first or ""
                allowed = (
                    by_view
                    or second == ""  # no column: that there is a row, as count(*) asks
                    or (database == "temp" and (table in VIEWS or table.startswith(prefix)))
                    or table in ("json_each", "json_tree")
                )
            case _:
                allowed = False
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")  # a damaged text spoils itself only


def _quoted(sql: str) -> str:
    """Quote `index`: a column here, but a reserved word in SQLite."""
    return _WORDS.sub(lambda match: '"index"' if match[0].lower() == "index" else match[0], sql)


def _rows(connection: sqlite3.Connection, sql: str, limits: QueryLimits) -> bytes:
    cursor = connection.execute(sql)
    if cursor.description is None:
        raise QueryError("The query is empty.")
    names: list[str] = [column[0] for column in cursor.description]
    rows: list[bytes] = []
    size = 0
    for row in cursor:
        shown = json_bytes(
            {name: _shown(name, value) for name, value in zip(names, row, strict=True) if value is not None}
        )
        rows.append(shown)
        size += len(shown)
        if len(rows) > limits.rows or size > limits.result_bytes:
            raise QueryError(
                f"The result has more than {limits.rows} rows or {limits.result_bytes} bytes; add a LIMIT, or select"
                " fewer columns."
            )
    return b'{"rows":[' + b",".join(rows) + b"]}"


def _shown(name: str, value: Any) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if name in BOOLEANS and value in (0, 1):
        return bool(value)
    if name in LISTS and isinstance(value, str):
        return _list(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _list(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _refused(error: BaseException, reason: str | None) -> QueryError:
    if reason is not None:
        return QueryError(reason, 503)
    code: int | None = getattr(error, "sqlite_errorcode", None)
    match code:
        case sqlite3.SQLITE_AUTH | sqlite3.SQLITE_READONLY:
            return QueryError(f"The query is not allowed. {_READ_ONLY}")
        case sqlite3.SQLITE_TOOBIG:
            return QueryError("The query makes a value that is too large.")
        case _:
            return QueryError(f"The query failed: {str(error) or type(error).__name__}")
