"""Make somebody staff: `python -m shop.hire NAME`."""

from __future__ import annotations

import sys

from sqlalchemy import update

from shop.database import sessions
from shop.models import Account
from shop.settings import get_settings

__all__ = ["hire"]


def hire(name: str, database: str) -> bool:
    """Let an account decide on refunds; tell whether there is such an account."""
    with sessions(database)() as db:
        hired = db.scalars(
            update(Account).where(Account.name == name).values(is_staff=True).returning(Account.id)
        ).all()
        db.commit()
    return bool(hired)


if __name__ == "__main__":
    sys.exit(0 if hire(sys.argv[1], get_settings().database) else f"nobody is called {sys.argv[1]}")
