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

from durably.errors import ClientError, ConfigurationError, MissingExtraError

__all__ = ["client_settings", "httpx_module", "read_limit", "translated_errors"]


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


def client_settings(ingress: str | None, timeout: timedelta | None) -> dict[str, Any]:
    """Give the arguments of an httpx client for an ingress.

    No timeout and no bound on connections unless asked for: calls last as long as handlers do.

    Raises:
        ConfigurationError: `ingress` is no URL.
    """
    if not ingress:
        raise ConfigurationError(
            "A client needs the URL of the ingress.", hint='create_client("http://localhost:8080")'
        )
    parts = urlsplit(ingress)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigurationError(
            f"{ingress!r} is not the URL of an ingress.", hint="It begins with http:// or https://."
        )
    httpx = httpx_module()
    return {
        "base_url": ingress,
        "timeout": None if timeout is None else timeout.total_seconds(),
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
        "http2": importlib.util.find_spec("h2") is not None,
    }


def read_limit(usual: Any, timeout: timedelta | None) -> Any:
    """Give httpx's timeout for a request that waits no longer than `timeout` for its answer."""
    if timeout is None:
        return usual
    return httpx_module().Timeout(
        connect=usual.connect, read=timeout.total_seconds(), write=usual.write, pool=usual.pool
    )


@contextmanager
def translated_errors(url: str, *, is_limited: bool = False) -> Generator[None]:
    """Turn httpx's failures to exchange anything into `ClientError`.

    Where the request `is_limited` in time, the end of that time is a `TimeoutError`.
    """
    httpx = httpx_module()
    try:
        yield
    except httpx.ReadTimeout as error:
        if is_limited:
            raise TimeoutError from error
        raise ClientError(f"No answer from {url} within the client's timeout.") from error
    except httpx.TimeoutException as error:
        raise ClientError(f"No answer from {url} within the client's timeout.") from error
    except httpx.TransportError as error:
        raise ClientError(f"{url} cannot be reached: {error}.", hint="Is this the URL of the ingress?") from error
