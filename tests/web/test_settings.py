"""Settings: where they are looked for, what they may be, and what is said when they cannot work."""

from __future__ import annotations

import os
from typing import Any

import pytest

from durably.errors import ConfigurationError
from durably.protocol.manifest import ProtocolMode
from durably.web.settings import Settings, read_settings

KEY = "publickeyv1_abc"


def test_without_anything_the_engine_is_embedded() -> None:
    """An application that sets nothing works."""
    settings = read_settings({}, {}, {})
    assert settings == Settings()
    assert (settings.url, settings.prefix, settings.is_embedded) == ("sqlite:///durably.db", "/restate", True)
    assert (settings.mode, settings.allow_unsigned, settings.identity_keys) == (None, False, ())


def test_keywords_win_over_the_configuration_and_that_over_the_environment() -> None:
    """One vocabulary, three places; a None counts as not given."""
    environ = {"DURABLY_URL": "memory://", "DURABLY_PREFIX": "/environment", "DURABLY_MODE": "bidi"}
    config = {"PREFIX": "/config", "mode": "request_response"}
    settings = read_settings({"mode": "auto", "prefix": None}, config, environ)
    assert (settings.url, settings.prefix, settings.mode) == ("memory://", "/config", None)


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to be passed for it."""
    monkeypatch.setattr(os, "environ", {"DURABLY_URL": "memory://"})
    assert read_settings({}).url == "memory://"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("url", " http://localhost:8080/ ", "http://localhost:8080"),
        ("url", "HTTPS://example.org/ingress", "HTTPS://example.org/ingress"),
        ("url", "sqlite:////var/lib/d.db", "sqlite:////var/lib/d.db"),
        ("admin_url", "http://localhost:9070/", "http://localhost:9070"),
        ("service_url", "http://[::1]:8000", "http://[::1]:8000"),
        ("prefix", "/a/b/", "/a/b"),
        ("identity_keys", f"{KEY}, {KEY}2", (KEY, f"{KEY}2")),
        ("identity_keys", f"{KEY}\n", (KEY,)),
        ("identity_keys", "", ()),
        ("identity_keys", [KEY], (KEY,)),
        ("allow_unsigned", "Yes", True),
        ("allow_unsigned", "0", False),
        ("allow_unsigned", "", False),
        ("allow_unsigned", True, True),
        ("mode", "BIDI", ProtocolMode.BIDI_STREAM),
        ("mode", "request_response", ProtocolMode.REQUEST_RESPONSE),
        ("mode", ProtocolMode.BIDI_STREAM, ProtocolMode.BIDI_STREAM),
        ("secret_key", "x" * 16, "x" * 16),
        ("max_upload_bytes", " 2048 ", 2048),
        ("max_upload_bytes", 0, 0),
    ],
)
def test_values(name: str, text: object, value: object) -> None:
    """Every setting can be text, as the environment has it, or what it is."""
    more = {} if name == "url" else {"url": "http://localhost:8080", "service_url": "http://localhost:1"}
    assert getattr(read_settings({**more, name: text}, {}, {}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", ""),
        ("url", 7),
        ("url", "postgres://x"),
        ("url", "sqlite://relative.db"),
        ("url", "http://"),
        ("url", "http://host:port"),
        ("url", "http://host/?a=b"),
        ("admin_url", "localhost:9070"),
        ("admin_url", "ftp://host"),
        ("service_url", "//host"),
        ("prefix", "restate"),
        ("prefix", "/"),
        ("prefix", "/a/../b"),
        ("prefix", "/a b"),
        ("prefix", "/{x}"),
        ("identity_keys", "abc"),
        ("identity_keys", 7),
        ("identity_keys", [KEY, 7]),
        ("allow_unsigned", "perhaps"),
        ("allow_unsigned", 1),
        ("mode", "fast"),
        ("mode", 5),
        ("secret_key", "short"),
        ("secret_key", 123456789012345678),
        ("max_upload_bytes", "1 MiB"),
        ("max_upload_bytes", -1),
        ("max_upload_bytes", True),
    ],
)
@pytest.mark.parametrize("place", ["keyword", "configuration", "environment"])
def test_what_cannot_work_names_its_place(name: str, value: Any, place: str) -> None:
    """The text says which setting it is and where it stands; a secret is not repeated."""
    match place:
        case "keyword":
            given, config, environ, expected = {name: value}, {}, {}, f"{name}="
        case "configuration":
            given, config, environ, expected = {}, {name.upper(): value}, {}, f"{name.upper()} in the configuration"
        case _:
            if not isinstance(value, str):
                value = "?" if name != "secret_key" else "shorter"
            given, config, environ, expected = {}, {}, {f"DURABLY_{name.upper()}": value}, f"DURABLY_{name.upper()}"
            if name == "secret_key":
                value = "shorter"
    with pytest.raises(ConfigurationError) as caught:
        read_settings(given, config, environ)
    assert expected in str(caught.value)
    assert name != "secret_key" or str(value) not in str(caught.value)


def test_unknown_names_are_refused_where_they_can_only_be_mistakes() -> None:
    """In keywords and in the framework's configuration; the text lists what there is."""
    with pytest.raises(ConfigurationError, match=r"uri=.*no setting 'uri'.*admin_url"):
        read_settings({"uri": "memory://"}, {}, {})
    with pytest.raises(ConfigurationError, match=r"URI in the configuration"):
        read_settings({}, {"URI": "memory://"}, {})


def test_the_environment_belongs_to_others_too() -> None:
    """Variables of other programs are left alone; one that is nearly a setting is a misspelt one."""
    assert read_settings({}, {}, {"DURABLY_RESTATE_SERVER": "x", "DURABLY_TOKEN": "x", "OTHER": "x"}) == Settings()
    with pytest.raises(ConfigurationError, match=r"DURABLY_IDENTITY_KEY .*Is DURABLY_IDENTITY_KEYS meant"):
        read_settings({}, {}, {"DURABLY_IDENTITY_KEY": KEY})


def test_registering_needs_to_know_where_the_application_is() -> None:
    """An admin API without the application's own address is half a setting; the embedded engine needs neither."""
    with pytest.raises(ConfigurationError, match=r"DURABLY_ADMIN_URL .*service_url"):
        read_settings({"url": "http://a:8080"}, {}, {"DURABLY_ADMIN_URL": "http://a:9070"})
    assert read_settings({"admin_url": "http://a:9070"}, {}, {}).is_embedded


def test_the_secret_is_not_shown() -> None:
    """Not in a representation, which ends in logs."""
    assert "s" * 20 not in repr(read_settings({"secret_key": "s" * 20}, {}, {}))
