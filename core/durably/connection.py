"""Names of restate-sdk for serving an application through an outbound connection to Restate Cloud.

Owns the refusal: that connection's protocol is not public, so an application has to be reachable over HTTP here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from durably.errors import ConfigurationError

__all__ = ["ConnectError", "connect", "with_connection"]


class ConnectError(ConfigurationError):
    """There is no outbound connection to Restate Cloud; the application must be reachable over HTTP."""


def _refuse() -> NoReturn:
    raise ConnectError(
        "durably does not speak the tunnel of Restate Cloud.",
        hint="Serve the application over HTTP and register its URL; restrict callers with identity_keys.",
    )


async def connect(app: Any, *, name: str | None = None, key: str | None = None) -> None:
    """Refuse to serve `app` through a tunnel.

    Raises:
        ConnectError: Always.
    """
    _refuse()


@asynccontextmanager
async def with_connection(app: Any, *, name: str | None = None, key: str | None = None) -> AsyncGenerator[Any]:
    """Refuse to serve `app` through a tunnel.

    Raises:
        ConnectError: Always, on entering.
    """
    _refuse()
    yield  # type: ignore[unreachable] # makes this a generator, which the decorator needs
