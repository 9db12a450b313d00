"""Every planted bug is found, and the report names its line; every correct twin passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import durably
from durably.testing.crashes import CrashOptions, CrashReport, crash_everywhere
from durably.testing.embedded import EmbeddedEnvironment
from durably.testing.findings import HandlerFaultError
from tests.testing import gallery

pytestmark = pytest.mark.anyio

OPTIONS = CrashOptions(shuffles=(1, 2), before_each=gallery.reset, on_crash=gallery.crash, processes=2, most_crashes=40)
SOURCE = Path(gallery.__file__)


def marked_line(service: durably.Service, name: str) -> int:
    """Give the line of a planted bug."""
    code: Any = service.handlers[name].function.__code__
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    return next(number for number in range(code.co_firstlineno, len(lines)) if lines[number - 1].endswith("# the bug"))


async def play(service: durably.Service, name: str) -> CrashReport:
    """Run one handler of the gallery everywhere."""

    async def scenario(env: EmbeddedEnvironment) -> Any:
        handler = service.handlers[name]
        argument = {"item": "apple"} if handler.takes_input else None
        result = await env.client.generic_call(
            service.name, name, handler.input_serde.serialize(argument) if handler.takes_input else b""
        )
        return result.decode()

    gallery.reset()
    options = CrashOptions(
        shuffles=(1, 2),
        before_each=gallery.reset,
        on_crash=gallery.crash,
        processes=2 if name == "unordered" else 0,  # nothing else needs them, and each takes half a second
        most_crashes=40,
    )
    services = [service] if service is gallery.TWINS else [service, gallery.TWINS]
    return await crash_everywhere(scenario, services, options=options, effects=gallery.EFFECTS)


@pytest.mark.parametrize("name", gallery.NAMES)
async def test_a_planted_bug_is_found(name: str):
    """The report of the bug names the line that does wrong."""
    report = await play(gallery.BUGS, name)
    with pytest.raises(HandlerFaultError) as caught:
        report.check()
    expected = f"{SOURCE}:{marked_line(gallery.BUGS, name)} in"
    assert expected in str(caught.value), f"expected {expected} in\n{caught.value}"


@pytest.mark.parametrize("name", gallery.NAMES)
async def test_its_correct_twin_passes(name: str):
    """Done right, the same scenario holds wherever it is disturbed, and every handler was replayed elsewhere."""
    report = (await play(gallery.TWINS, name)).check()
    assert report.runs > 3
    assert report.not_replayed == []


def test_the_gallery_is_complete():
    """There are at least twelve, each with its twin."""
    assert len(gallery.NAMES) >= 12
    assert set(gallery.BUGS.handlers) == set(gallery.NAMES)
