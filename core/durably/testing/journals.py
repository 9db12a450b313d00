"""Journals outside of their engine: read from either one, kept in files, replayed later.

Owns the file's format and the reading. A journal is kept exactly as it travelled, so that later releases replay it.

    {"format": "durably-journal/1",
     "service": …, "handler": …, "key": …,            the target; key "" for plain services
     "invocation_id": …, "random_seed": …, "protocol_version": …, "is_completed": …,
     "entries": [{"type": "RUN", "name": …, "payload": base64}, …]}

`type` is a name of the wire's `MessageType`; `name` is for people. Readers ignore members that they do not know.

Source: introspection tables `sys_invocation` and `sys_journal` of Restate Server 1.7, and of the embedded engine.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from durably.engine.query.journal import entry_name
from durably.errors import DurablyError, UsageError
from durably.protocol.ids import InvocationId
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

if TYPE_CHECKING:
    from durably.engine.store.contract import Reader

__all__ = [
    "JournalError",
    "RecordedJournal",
    "fetch_journal",
    "journal_from_rows",
    "journal_of",
    "load",
    "message_type_of",
    "save",
]

_FORMAT: Final = "durably-journal/1"

Rows = Sequence[Mapping[str, Any]]


class JournalError(DurablyError):
    """A journal cannot be read, or is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJournal:
    """The journal of one invocation.

    Attributes:
        service: Name of the service.
        handler: Name of the handler.
        key: Of the object or workflow, or "".
        invocation_id: `inv_1…`.
        random_seed: What the handler's random numbers come from; None while unknown, so that payloads, which may be
            made of them, are not compared.
        version: Of the service protocol.
        is_completed: Whether the invocation was over.
        entries: Message type and payload, Input first.
    """

    service: str
    handler: str
    key: str = ""
    invocation_id: str
    random_seed: int | None = None
    version: ProtocolVersion = ProtocolVersion.V7
    is_completed: bool = False
    entries: tuple[tuple[int, bytes], ...] = ()

    @property
    def target(self) -> str:
        """`service/handler`."""
        return f"{self.service}/{self.handler}"

    @property
    def raw_id(self) -> bytes:
        """The invocation's id as it travels."""
        return InvocationId.decode(self.invocation_id).raw

    def to_json(self) -> str:
        """Write it in the format of the module."""
        document = {
            "format": _FORMAT,
            "service": self.service,
            "handler": self.handler,
            "key": self.key,
            "invocation_id": self.invocation_id,
            "random_seed": self.random_seed,
            "protocol_version": int(self.version),
            "is_completed": self.is_completed,
            "entries": [
                {
                    "type": MessageType(kind).name,
                    "name": entry_name(kind, payload) or "",
                    "payload": base64.b64encode(payload).decode(),
                }
                for kind, payload in self.entries
            ],
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RecordedJournal:
        """Read what `to_json` wrote.

        Raises:
            JournalError: It is no journal, or of a format that this release does not know.
        """
        try:
            document = json.loads(text)
            found = document["format"]
            if found != _FORMAT:
                raise JournalError(f"The journal has the format {found!r}; this release reads {_FORMAT!r}.")
            return cls(
                service=document["service"],
                handler=document["handler"],
                key=document["key"],
                invocation_id=document["invocation_id"],
                random_seed=document["random_seed"],
                version=ProtocolVersion(document["protocol_version"]),
                is_completed=document["is_completed"],
                entries=tuple(
                    (int(MessageType[entry["type"]]), base64.b64decode(entry["payload"], validate=True))
                    for entry in document["entries"]
                ),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"This is no recorded journal: {type(error).__name__}: {error}") from error


def save(journal: RecordedJournal, path: str | Path) -> None:
    """Write a journal to a file."""
    Path(path).write_text(journal.to_json(), encoding="utf-8")


def load(path: str | Path) -> RecordedJournal:
    """Read a journal from a file.

    Raises:
        JournalError: The file holds none.
    """
    return RecordedJournal.from_json(Path(path).read_text(encoding="utf-8"))


def journal_of(reader: Reader, invocation_id: str) -> RecordedJournal | None:
    """Give the journal of an invocation of the embedded engine; None when it is not known or not started."""
    invocation = reader.invocation(invocation_id)
    if invocation is None or not invocation.journal_length:
        return None
    return RecordedJournal(
        service=invocation.service,
        handler=invocation.handler,
        key=invocation.key,
        invocation_id=invocation_id,
        random_seed=invocation.random_seed,
        version=ProtocolVersion(invocation.protocol_version or ProtocolVersion.V7),
        is_completed=invocation.completed_at is not None,
        entries=tuple((entry.type, entry.payload) for entry in reader.entries(invocation_id)),
    )


async def fetch_journal(query: Callable[[str], Awaitable[Rows]], invocation_id: str) -> RecordedJournal:
    """Read a journal through the query API, which both engines have: `POST /query` of the admin API.

    Args:
        query: Runs one SELECT and gives its rows.
        invocation_id: Which.

    Raises:
        JournalError: The invocation is not known, or its journal was not kept.
        UsageError: The id is none.
    """
    if not invocation_id.isascii() or not invocation_id.replace("_", "").isalnum():
        raise UsageError(f"{invocation_id!r} is no invocation id.")
    where = f"id = '{invocation_id}'"
    invocations = await query(
        "SELECT id, target_service_name, target_service_key, target_handler_name, pinned_service_protocol_version,"  # noqa: S608 - checked above
        f" status FROM sys_invocation WHERE {where}"
    )
    if not invocations:
        raise JournalError(f"The invocation {invocation_id} is not known.")
    entries = await query(f"SELECT index, entry_type, raw FROM sys_journal WHERE {where} ORDER BY index")  # noqa: S608 - checked above
    return journal_from_rows(invocations[0], entries)


def journal_from_rows(invocation: Mapping[str, Any], entries: Rows) -> RecordedJournal:
    """Make a journal of a row of `sys_invocation` and rows of `sys_journal`, which have `entry_type` and `raw`.

    The seed of the random generator is in neither table, so that it is unknown.

    Raises:
        JournalError: Entries are missing or of an unknown type.
    """
    invocation_id: str = invocation["id"]
    if not entries:
        raise JournalError(f"The journal of {invocation_id} is not there.", hint="It may not have been kept.")
    return RecordedJournal(
        service=invocation["target_service_name"],
        handler=invocation["target_handler_name"],
        key=invocation.get("target_service_key") or "",
        invocation_id=invocation_id,
        random_seed=None,
        version=ProtocolVersion(invocation.get("pinned_service_protocol_version") or ProtocolVersion.V7),
        is_completed=invocation.get("status") == "completed",
        entries=tuple((message_type_of(row["entry_type"]), bytes.fromhex(row["raw"])) for row in entries),
    )


def message_type_of(shown: str) -> int:
    """Give the type of a message from what `sys_journal` calls it, as `Command: Run`.

    Raises:
        JournalError: There is no such type.
    """
    category, _, name = shown.partition(": ")
    words = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).lstrip("_")
    candidates = (words,) if category == "Command" else (f"{words}_COMPLETION", words)
    for candidate in candidates:
        if candidate in MessageType.__members__:
            return int(MessageType[candidate])
    raise JournalError(f"The journal has an entry of the unknown type {shown!r}.")
