"""How the clients use httpx.

Owns its import as an extra, its settings, and what its exceptions mean.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from durably.client.interfaces import ClientTimeoutError, UnreachableError
from durably.client.options import DEFAULT_OPTIONS, ClientOptions
from durably.errors import ConfigurationError, MissingExtraError, UsageError

__all__ = [
    "absolute",
    "admin_base",
    "check_admin_url",
    "client_settings",
    "httpx_module",
    "shown",
    "timed_out",
    "translated_errors",
]


def httpx_module() -> ModuleType:
    """Import httpx.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("The client", "client") from error
    return httpx


def client_settings(
    ingress: str | None, timeout: timedelta | None, options: ClientOptions = DEFAULT_OPTIONS
) -> dict[str, Any]:
    """Give the arguments of an httpx client for an ingress.

    No timeout and no bound on connections unless asked for: calls last as long as handlers do.

    Raises:
        ConfigurationError: `ingress` is no URL.
    """
    if not ingress:
        raise ConfigurationError(
            "A client needs the URL of the ingress.", hint='create_client("http://localhost:8080")'
        )
    _check_url(ingress, "an ingress")
    httpx = httpx_module()
    return {
        "base_url": ingress,
        "timeout": None if timeout is None else timeout.total_seconds(),
        "limits": httpx.Limits(
            max_connections=options.max_connections,
            max_keepalive_connections=options.max_idle_connections,
            keepalive_expiry=options.idle_expiry.total_seconds(),
        ),
        "http2": importlib.util.find_spec("h2") is not None,
    }


def check_admin_url(admin_url: str | None) -> None:
    """Refuse what is no URL; None is fine.

    Raises:
        ConfigurationError: It is none.
    """
    if admin_url is not None:
        _check_url(admin_url, "an admin API")


def _check_url(url: str, what: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigurationError(
            f"{shown(url)!r} is not the URL of {what}.", hint="It begins with http:// or https://."
        )


def admin_base(admin_url: str | None, operation: str) -> str:
    """Give the URL of the admin API.

    Raises:
        ConfigurationError: The client was made without one.
    """
    if admin_url is None:
        raise ConfigurationError(
            f"To {operation} an invocation the client needs the URL of the admin API.",
            hint='create_client("http://localhost:8080", admin_url="http://localhost:9070")',
        )
    return admin_url


def absolute(base: str | None, path: str) -> str:
    """Give what httpx is asked for: the path alone for its own base URL, or the whole URL for another base."""
    return path if base is None else base.rstrip("/") + path


def timed_out(limit: timedelta) -> ClientTimeoutError:
    """Give the error of a wait that is over."""
    return ClientTimeoutError(
        f"No answer within {limit.total_seconds():g} s; what was asked for may go on.",
        hint="Attach to the invocation, or send with an idempotency key and ask again.",
    )


def shown(url: str) -> str:
    """Give a URL for a message: without the name and password that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def translated_errors(url: str) -> Generator[None]:
    """Turn httpx's failures to exchange anything into errors of this package."""
    httpx = httpx_module()
    try:
        yield
    except httpx.TimeoutException as error:
        raise ClientTimeoutError(f"No answer from {shown(url)} within the client's timeout.") from error
    except httpx.InvalidURL as error:
        raise UsageError(f"The request does not fit into a URL: {error}.") from error
    except httpx.TransportError as error:
        raise UnreachableError(
            f"{shown(url)} cannot be reached: {error}.", hint="Is this the URL of the runtime?"
        ) from error
