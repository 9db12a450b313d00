"""What the parts of the adapter need to know about the application they belong to."""

from __future__ import annotations

import asyncio
from typing import Protocol

from fastapi import FastAPI

from durably.endpoint import Endpoint
from durably.web.link import Link
from durably.web.settings import Settings

__all__ = ["Host"]


class Host(Protocol):
    """The side of `Durably` that endpoints, dependencies and answers see."""

    @property
    def link(self) -> Link:
        """The way to the runtime."""
        ...

    @property
    def settings(self) -> Settings:
        """As they were read."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where services are bound."""
        ...

    @property
    def app(self) -> FastAPI | None:
        """The application; None until `init_app`."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the application is served on; None while nobody knows."""
        ...
