"""The settings that are objects of Python are what handlers run with."""

from __future__ import annotations

import pytest
from django.test import override_settings

import durably
from durably import EngineOptions, HostingOptions, SyncContext
from durably.authoring.codec import JournalValueCodec
from durably.client import HttpError
from durably.errors import ConfigurationError
from durably_django.runtime import Runtime
from durably_django.settings import configured_objects

OPTIONS = EngineOptions(inactivity_timeout_ms=123)
HOSTING = HostingOptions(threads=3)


class Reversed(JournalValueCodec):
    """Turns values around, and keeps what it has read."""

    def __init__(self) -> None:
        """Begin without values."""
        self.read: list[bytes] = []

    def encode(self, buf: bytes) -> bytes:
        """Turn around."""
        return buf[::-1]

    async def decode(self, buf: bytes) -> bytes:
        """Turn back."""
        self.read.append(buf)
        return buf[::-1]


CODEC = Reversed()


class GoneError(Exception):
    """What a project calls final."""


def find(ctx: SyncContext, name: str) -> str:
    """Fail after a step."""
    raise GoneError(ctx.run_typed("look", lambda: f"no {name}"))


@pytest.mark.parametrize("failure", [GoneError, f"{__name__}.GoneError"])
@pytest.mark.parametrize("codec", [CODEC, f"{__name__}.CODEC"])
def test_they_are_what_handlers_run_with(failure: object, codec: object):
    """Options, hosting, failures and the codec, given or named, whatever the case of their keys."""
    shop = durably.Service("SettingsShop")
    shop.handler()(find)
    given = {"URL": "memory://", "Options": OPTIONS, "HOSTING": HOSTING, "FAILURES": {failure: 410}}
    with override_settings(DURABLY=given | {"JOURNAL_VALUE_CODEC": codec}):
        found = configured_objects()
        assert (found.options, found.hosting, found.codec) == (OPTIONS, HOSTING, CODEC)
        runtime = Runtime()
        runtime.bind(shop)
        CODEC.read.clear()
        link = runtime.start(sends_outbox=False)
        try:
            assert link.engine is not None
            assert link.engine.options is OPTIONS
            with pytest.raises(HttpError, match="no pear") as caught:
                link.sync_client().call(find, "pear")
            assert caught.value.status_code == 410
            assert b'"raep on"' in CODEC.read
        finally:
            runtime.stop()


def test_a_name_that_leads_nowhere_is_told():
    """What cannot be imported is named, with the setting that names it."""
    with (
        override_settings(DURABLY={"FAILURES": {"shop.errors.Gone": 410}}),
        pytest.raises(ConfigurationError, match=r'DURABLY\["FAILURES"\] names .shop.errors.Gone.'),
    ):
        configured_objects()
