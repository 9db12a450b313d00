"""Files of recorded journals, as `journal replay --save` writes them.

    {"format": "durably-journals/1", "journals": [{"format": "durably-journal/1", …}, …]}

A file with one journal, as the test kit saves it, and a folder of either are read as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from durably.cli.exits import CommandError
from durably.errors import UsageError
from durably.testing.journals import JournalError, RecordedJournal

__all__ = ["load_recordings", "save_recordings"]

_FORMAT: Final = "durably-journals/1"


def save_recordings(journals: Sequence[RecordedJournal], path: Path) -> None:
    """Write journals to a file.

    Raises:
        CommandError: It cannot be written.
    """
    document = {"format": _FORMAT, "journals": [json.loads(each.to_json()) for each in journals]}
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error


def load_recordings(path: Path) -> list[RecordedJournal]:
    """Read the journals of a file, or of all files of a folder.

    Raises:
        UsageError: It is not there, or holds no journals.
    """
    try:
        paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return [journal for each in paths for journal in _read(each)]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _read(path: Path) -> list[RecordedJournal]:
    try:
        text = path.read_text(encoding="utf-8")
        document: Any = json.loads(text)
        if document["format"] == _FORMAT:
            return [RecordedJournal.from_json(json.dumps(each)) for each in document["journals"]]
        return [RecordedJournal.from_json(text)]
    except (ValueError, KeyError, TypeError, JournalError) as error:
        raise UsageError(f"{path} holds no recorded journals: {error}") from error
