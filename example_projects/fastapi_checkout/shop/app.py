"""The app: its routers, and what happens when it starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from shop.database import create_tables
from shop.errors import ShopError, answer
from shop.routers import accounts, carts, catalogue, orders, refunds
from shop.runtime import durably
from shop.settings import get_settings

__all__ = ["app"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the tables before the first request."""
    create_tables(app.dependency_overrides.get(get_settings, get_settings)().database)
    yield


app = FastAPI(title="Checkout", lifespan=lifespan)
app.add_exception_handler(ShopError, answer)
for each in (accounts, catalogue, carts, orders, refunds):
    app.include_router(each.router)
durably.init_app(app)
