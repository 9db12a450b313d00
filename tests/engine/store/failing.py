"""The stand-alone engine on a disk that fails as soon as a file `FAIL` lies beside it; a program."""

from __future__ import annotations

import os
import sys

from durably.engine import node
from durably.engine.cli import main
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreFailedError

_commit = SqliteStore.commit


def fail(store: SqliteStore) -> None:
    """Fail as a store does whose sync failed."""
    store._failure = StoreFailedError("the disk is on fire")
    raise store._failure


def commit(store: SqliteStore) -> None:
    """Commit while the disk works."""
    if os.path.exists(os.path.join(os.path.dirname(store.path), "FAIL")):
        store.rollback()
        fail(store)
    _commit(store)


if __name__ == "__main__":
    setattr(SqliteStore, "commit", commit)  # noqa: B010 - a method, on purpose
    setattr(SqliteStore, "reopen", fail)  # noqa: B010
    setattr(node, "_REOPEN_PAUSES_S", (0.01, 0.01))  # noqa: B010
    sys.exit(main(sys.argv[1:]))
