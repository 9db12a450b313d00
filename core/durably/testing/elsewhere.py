"""Replaying journals in another process: with another order of sets, and nothing of what this process remembers.

Owns both sides. This one writes the journals and the places of their handlers to the other's standard input; that one
imports the modules, replays, and writes what it found.

A framework whose modules cannot be imported before it is set up says how: a module that this process has imported (that
of the adapter) has `__durably_setup__ = "module:function"`, and the other process calls that first.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

from durably.authoring.handlers import Handler
from durably.authoring.services import DefinedService
from durably.errors import DurablyError
from durably.testing.journals import RecordedJournal
from durably.testing.replaying import Mismatch, replay

__all__ = ["ReplayedElsewhere", "main", "replay_elsewhere"]

_LIMIT_S: Final = 60.0
_MARK: Final = "durably-replay "


@dataclass(frozen=True, slots=True)
class ReplayedElsewhere:
    """What the other process found.

    Attributes:
        mismatches: Where handlers left their journals.
        not_replayed: Handlers that it could not import: those that are defined within a function.
    """

    mismatches: list[Mismatch] = field(default_factory=list[Mismatch])
    not_replayed: list[str] = field(default_factory=list[str])


def replay_elsewhere(
    journals: Sequence[RecordedJournal], handlers: Mapping[str, Handler], *, hash_seed: int
) -> ReplayedElsewhere:
    """Replay journals in a new process.

    Args:
        journals: What to replay.
        handlers: Of the journals, by `service/handler`.
        hash_seed: Its `PYTHONHASHSEED`: another order of sets of texts.

    Raises:
        DurablyError: The process failed.
    """
    found = ReplayedElsewhere()
    work: list[dict[str, str]] = []
    for journal in journals:
        handler = handlers.get(journal.target)
        place = None if handler is None else _place_of(handler)
        if place is None:
            if journal.target not in found.not_replayed:
                found.not_replayed.append(journal.target)
        else:
            work.append({"module": place[0], "file": place[1], "journal": journal.to_json()})
    if not work:
        return found
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps({"path": sys.path, "setups": _setups(), "work": work}),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    answer = next((line for line in done.stdout.splitlines() if line.startswith(_MARK)), None)
    if done.returncode != 0 or answer is None:
        raise DurablyError(
            f"The process that replays journals failed:\n{done.stderr[-2000:]}",
            hint="It imports the modules of the handlers anew. processes=0 at the marker leaves it out.",
        )
    document = json.loads(answer.removeprefix(_MARK))
    found.mismatches.extend(Mismatch(**mismatch) for mismatch in document["mismatches"])
    found.not_replayed.extend(document["not_replayed"])
    return found


def _setups() -> list[str]:
    """Give what adapters want to have called before a module with handlers is imported."""
    # A plain look into what is there: asking a module for an attribute may run its code.
    found = (getattr(module, "__dict__", {}).get("__durably_setup__") for module in list(sys.modules.values()))
    return sorted({each for each in found if isinstance(each, str)})


def _call_setup(place: str) -> None:
    module, _, name = place.partition(":")
    getattr(importlib.import_module(module), name)()


def _place_of(handler: Handler) -> tuple[str, str] | None:
    """Give the module of a handler's service and its file; None when another process would not find it there."""
    function = inspect.unwrap(handler.function)
    module = sys.modules.get(getattr(function, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None or _service_in(module, handler.service_name) is None:
        return None
    return module.__name__, file


def _service_in(module: Any, name: str) -> DefinedService | None:
    members = cast("dict[str, Any]", vars(module))
    services = (value for value in members.values() if isinstance(value, DefinedService))
    return next((service for service in services if service.name == name), None)


def _imported(name: str, file: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    if name == "__main__" or _file_of(name) != file:
        spec = importlib.util.spec_from_file_location(name.replace("__main__", "durably_replayed"), file)
        if spec is None or spec.loader is None:
            raise DurablyError(f"{file} cannot be imported.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    return importlib.import_module(name)


def _file_of(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


async def _replay_all(work: list[dict[str, str]]) -> dict[str, Any]:
    mismatches: list[dict[str, str]] = []
    not_replayed: list[str] = []
    for item in work:
        journal = RecordedJournal.from_json(item["journal"])
        service = _service_in(_imported(item["module"], item["file"]), journal.service)
        handler = None if service is None else service.handlers.get(journal.handler)
        if handler is None:
            not_replayed.append(journal.target)
            continue
        mismatch = await replay(handler, journal)
        if mismatch is not None:
            mismatches.append(asdict(mismatch))
    return {"mismatches": mismatches, "not_replayed": not_replayed}


def main() -> None:
    """Be the other process."""
    document = json.load(sys.stdin)
    sys.path[:] = document["path"]
    for each in document.get("setups", ()):
        _call_setup(each)
    answer = asyncio.run(_replay_all(document["work"]))
    sys.stdout.write(f"\n{_MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
