"""The settings of an application that uses durably, in one vocabulary for all frameworks.

Owns their names, where each is looked for, and what a value may be. Looked for in this order:

1. keywords, as `Durably(app, url=…)`
2. the framework's configuration, as `DURABLY = {"URL": …}`
3. the environment, as `DURABLY_URL`
4. the default

| setting | value | default |
|---|---|---|
| `url` | `sqlite:///file.db`, `memory://`, or a Restate Server's ingress, `http://host:8080` | `sqlite:///durably.db` |
| `admin_url` | the admin API of that server; with it the application registers itself | none |
| `service_url` | where that server reaches this application, without the prefix | none |
| `prefix` | path of the routes that durably adds | `/restate` |
| `identity_keys` | public keys of the runtimes that may call; in text separated by commas or blanks | none |
| `allow_unsigned` | whether requests without a signature are accepted from other machines | false |
| `mode` | `auto`, `bidi` or `request_response` | `auto` |
| `secret_key` | signs the addresses of results, at least 16 characters; the same in all processes | see `secret_file` |
| `max_upload_bytes` | largest uploaded file that an endpoint takes | 1 MiB |
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, cast
from urllib.parse import urlsplit

from durably.errors import ConfigurationError
from durably.protocol.manifest import ProtocolMode

__all__ = ["Settings", "read_settings"]

_MIN_SECRET_CHARS: Final = 16
_DEFAULT_UPLOAD_BYTES: Final = 1024 * 1024
_ENVIRONMENT: Final = "DURABLY_"
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off", ""})
_MODES: Final[Mapping[str, ProtocolMode | None]] = {
    "auto": None,
    "bidi": ProtocolMode.BIDI_STREAM,
    "request_response": ProtocolMode.REQUEST_RESPONSE,
}
_SIMILAR: Final = 0.8
"""How much a name in the environment must look like a setting to be taken for a misspelt one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings that can work together; see the module.

    Attributes:
        url: Which runtime.
        admin_url: Its admin API, without a trailing slash; None registers nothing.
        service_url: Where the runtime reaches the application, without a trailing slash and without the prefix.
        prefix: Begins with a slash and does not end with one.
        identity_keys: Empty where requests are not signed.
        allow_unsigned: Whether unsigned requests are taken from other machines.
        mode: None decides by what the web server can do.
        secret_key: Signs the addresses of results; None takes the default for the url.
        max_upload_bytes: Of one uploaded file.
    """

    url: str = "sqlite:///durably.db"
    admin_url: str | None = None
    service_url: str | None = None
    prefix: str = "/restate"
    identity_keys: tuple[str, ...] = ()
    allow_unsigned: bool = False
    mode: ProtocolMode | None = None
    secret_key: str | None = field(default=None, repr=False)
    max_upload_bytes: int = _DEFAULT_UPLOAD_BYTES

    @property
    def is_embedded(self) -> bool:
        """Whether the runtime is in the application."""
        return urlsplit(self.url).scheme not in {"http", "https"}


def read_settings(
    given: Mapping[str, object],
    config: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings from where they can stand.

    Args:
        given: Keywords; a None counts as not given.
        config: Of the framework; names in any case. Names that are no settings are refused.
        environ: The environment; None takes the process's. Other programs' variables are left alone, but not
            names that are nearly those of settings.

    Raises:
        ConfigurationError: A name is unknown, or a value cannot work; the text says where it stands.
    """
    environment = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, text in environment.items():
        if name.startswith(_ENVIRONMENT):
            _take_from_environment(values, sources, name, text)
    for name, value in (config or {}).items():
        _take(values, sources, name.lower(), value, f"{name} in the configuration")
    for name, value in given.items():
        if value is not None:
            _take(values, sources, name, value, f"{name}=")
    settings = Settings(**{name: _READERS[name](value, sources[name]) for name, value in values.items()})
    _check_together(settings, sources)
    return settings


def _take(values: dict[str, Any], sources: dict[str, str], name: str, value: object, source: str) -> None:
    if name not in _READERS:
        raise ConfigurationError(
            f"{source}: there is no setting {name!r}.", hint=f"There are: {', '.join(sorted(_READERS))}."
        )
    values[name] = value
    sources[name] = source


def _take_from_environment(values: dict[str, Any], sources: dict[str, str], variable: str, text: str) -> None:
    name = variable[len(_ENVIRONMENT) :].lower()
    if name in _READERS:
        _take(values, sources, name, text, variable)
        return
    similar = difflib.get_close_matches(name, _READERS, n=1, cutoff=_SIMILAR)
    if similar:
        raise ConfigurationError(
            f"{variable} in the environment is no setting.", hint=f"Is {_ENVIRONMENT}{similar[0].upper()} meant?"
        )


def _check_together(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.is_embedded:
        from durably.engine.locations import read_url

        try:
            read_url(settings.url)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{sources['url']}: {error.message}",
                hint="Give sqlite:///relative.db, sqlite:////absolute.db, memory://, or http://host:8080 for a server.",
            ) from error
        return
    if settings.admin_url is not None and settings.service_url is None:
        raise ConfigurationError(
            f"{sources['admin_url']} lets the application register itself, but service_url is not set.",
            hint="Set service_url to where the server reaches this application, as http://10.0.0.5:8000.",
        )


def _text(value: object, source: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{source} must be text and not empty, not {value!r}.")
    return value.strip()


def _http_url(value: object, source: str) -> str:
    text = _text(value, source).rstrip("/")
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigurationError(f"{source} must be a URL, not {text!r}.", hint="It begins with http:// or https://.")
    return text


def _url(value: object, source: str) -> str:
    text = _text(value, source)
    return _http_url(text, source) if text.lower().startswith("http") else text


def _prefix(value: object, source: str) -> str:
    text = _text(value, source).rstrip("/")
    if not _PREFIX.fullmatch(text) or any(part in {".", ".."} for part in text.split("/")):
        raise ConfigurationError(f"{source} must be a path as '/restate', not {value!r}.")
    return text


def _identity_keys(value: object, source: str) -> tuple[str, ...]:
    listed: object = re.split(r"[,\s]+", value.strip(", \t\r\n")) if isinstance(value, str) else value
    if not isinstance(listed, Sequence):
        raise ConfigurationError(f"{source} must be a list of keys, not {value!r}.")
    keys = [key for key in cast("Sequence[object]", listed) if key != ""]
    for key in keys:
        if not isinstance(key, str) or not key.startswith("publickeyv1_"):
            raise ConfigurationError(f"{source}: {key!r} is no public key.", hint="One begins with publickeyv1_.")
    return tuple(cast("list[str]", keys))


def _yes_or_no(value: object, source: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _YES | _NO:
        return value.strip().lower() in _YES
    raise ConfigurationError(f"{source} must be true or false, not {value!r}.")


def _mode(value: object, source: str) -> ProtocolMode | None:
    if isinstance(value, ProtocolMode):
        return value
    if not isinstance(value, str) or value.strip().lower() not in _MODES:
        raise ConfigurationError(f"{source} must be one of {', '.join(_MODES)}, not {value!r}.")
    return _MODES[value.strip().lower()]


def _secret_key(value: object, source: str) -> str:
    if not isinstance(value, str) or len(value) < _MIN_SECRET_CHARS:
        raise ConfigurationError(
            f"{source} must be text of at least {_MIN_SECRET_CHARS} characters.",
            hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return value


def _bytes(value: object, source: str) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ConfigurationError(f"{source} must be a number of bytes, 0 or more, not {value!r}.")
    return number


_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "url": _url,
    "admin_url": _http_url,
    "service_url": _http_url,
    "prefix": _prefix,
    "identity_keys": _identity_keys,
    "allow_unsigned": _yes_or_no,
    "mode": _mode,
    "secret_key": _secret_key,
    "max_upload_bytes": _bytes,
}
assert set(_READERS) == {each.name for each in fields(Settings)}
