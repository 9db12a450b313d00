"""Keeping the journal of a test's invocation as a file that must replay for ever.

Owns the way to the journal: in the embedded engine, or through the query API of a real server. The format of the file
is `durably.testing.journals`' business, the replay `durably.testing.replaying`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from durably.client.transport import httpx_module
from durably.testing.blocking import BlockingHarness
from durably.testing.embedded import EmbeddedEnvironment
from durably.testing.journals import JournalError, RecordedJournal, Rows, fetch_journal, save

if TYPE_CHECKING:
    from durably.types import HarnessEnvironment

__all__ = ["fetch_journal_from", "record_journal", "record_journal_blocking"]


async def record_journal(
    environment: HarnessEnvironment, invocation_id: str, path: str | Path | None = None
) -> RecordedJournal:
    """Read the journal of an invocation, and keep it in a file.

    Args:
        environment: Of a harness on either runtime.
        invocation_id: Which.
        path: Where to keep it; None only gives it.

    Raises:
        JournalError: It is not known, has not begun, or was not kept.
    """
    if isinstance(environment, EmbeddedEnvironment):
        journal = await environment.journal_of(invocation_id)
    else:
        journal = await fetch_journal_from(environment.admin_api_url, invocation_id)
    if path is not None:
        save(journal, path)
    return journal


def record_journal_blocking(
    harness: BlockingHarness, invocation_id: str, path: str | Path | None = None
) -> RecordedJournal:
    """Do the same where the test does not await."""
    journal = harness.journal_of(invocation_id)
    if path is not None:
        save(journal, path)
    return journal


async def fetch_journal_from(admin_url: str, invocation_id: str) -> RecordedJournal:
    """Read a journal through the admin API at `admin_url`: of a real server, or of the embedded engine.

    Raises:
        JournalError: It is not known, or the API refuses.
        MissingExtraError: httpx is not installed.
    """
    async with httpx_module().AsyncClient(base_url=admin_url, trust_env=False) as http:

        async def query(sql: str) -> Rows:
            response = await http.post("/query", json={"query": sql}, headers={"accept": "application/json"})
            if response.status_code != 200:
                raise JournalError(
                    f"{admin_url} refused a query with HTTP {response.status_code}: {response.text[:200]}"
                )
            rows: list[dict[str, Any]] = response.json()["rows"]
            return rows

        return await fetch_journal(query, invocation_id)
