"""The connection to the shop's database, and the session that routes and steps get.

A durable handler may run for weeks. It gets `StepDatabase`: a session that is opened when a step begins and closed when
it ends, so that no connection is held while the handler waits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.orm import Session, sessionmaker

from durably_fastapi import Step
from shop.models import Model, Product
from shop.settings import CurrentSettings

__all__ = ["Database", "StepDatabase", "create_tables", "get_db", "sessions"]

_CATALOGUE = Path(__file__).with_name("catalogue.csv")


@lru_cache
def sessions(url: str) -> sessionmaker[Session]:
    """Give the sessions of a database; one pool of connections for each URL."""
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 10})
    event.listen(engine, "connect", _configure)
    return sessionmaker(engine, expire_on_commit=False)


def _configure(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


def create_tables(url: str) -> None:
    """Create what is missing, and fill an empty catalogue."""
    with sessions(url)() as db:
        engine = db.get_bind()
        assert isinstance(engine, Engine)
        Model.metadata.create_all(engine)
        if db.scalars(select(Product).limit(1)).first() is None:
            with _CATALOGUE.open(newline="", encoding="utf-8") as lines:
                db.add_all(
                    Product(
                        sku=row["sku"],
                        title=row["title"],
                        price_cents=int(row["price_cents"]),
                        in_stock=int(row["in_stock"]),
                    )
                    for row in csv.DictReader(lines)
                )
            db.commit()


def get_db(settings: CurrentSettings) -> Iterator[Session]:
    """Open a session, and close it afterwards."""
    with sessions(settings.database)() as session:
        yield session


Database = Annotated[Session, Depends(get_db)]
StepDatabase = Annotated[Session, Depends(get_db), Step]
