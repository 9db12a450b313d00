"""The shop's database: stock, orders and payments in one SQLite file.

Owns the SQL. Each function opens a connection of its own, so that it can be called from any thread. Whatever changes
the outside world also leaves a line in the effects log: the demo counts these lines to show that no step ran twice.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, in_stock INTEGER NOT NULL, price_cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL,
                                   note TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS payments (reference TEXT PRIMARY KEY, order_id TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS carrier_calls (order_id TEXT PRIMARY KEY, calls INTEGER NOT NULL);
"""


class OutOfStockError(Exception):
    """There are not as many as were ordered."""


@dataclass(frozen=True, slots=True)
class Store:
    """The files of one shop.

    Attributes:
        directory: Holds `shop.db` and `effects.jsonl`.
    """

    directory: Path

    @property
    def effects_log(self) -> Path:
        """One JSON object a line: what was done to the outside world, for which order, by which process."""
        return self.directory / "effects.jsonl"

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Open a connection in a transaction: committed at the end, rolled back on an error."""
        connection = sqlite3.connect(self.directory / "shop.db", timeout=10)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def create(self, stock_file: Path) -> None:
        """Make the tables; fill the stock if it is empty."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with stock_file.open(newline="", encoding="utf-8") as lines, self.connect() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
            db.executemany("INSERT OR IGNORE INTO stock VALUES (:item, :in_stock, :price_cents)", csv.DictReader(lines))

    def log_effect(self, order_id: str, effect: str) -> None:
        """Append a line to the effects log, flushed to the disk."""
        line = json.dumps({"order": order_id, "effect": effect, "process": os.getpid()}) + "\n"
        with self.effects_log.open("a", encoding="utf-8") as log:
            log.write(line)
            log.flush()
            os.fsync(log.fileno())

    def reserve(self, order_id: str, item: str, quantity: int) -> int:
        """Take goods off the shelf.

        Returns:
            The price of all of them in cents.

        Raises:
            OutOfStockError: There are not enough, or there is no such item.
        """
        with self.connect() as db:
            row = db.execute(
                "UPDATE stock SET in_stock = in_stock - ? WHERE item = ? AND in_stock >= ? RETURNING price_cents",
                (quantity, item, quantity),
            ).fetchone()
        if row is None:
            raise OutOfStockError(f"fewer than {quantity} of {item!r} are left")
        self.log_effect(order_id, "reserve")
        return row[0] * quantity

    def release(self, order_id: str, item: str, quantity: int) -> None:
        """Put goods back on the shelf."""
        with self.connect() as db:
            db.execute("UPDATE stock SET in_stock = in_stock + ? WHERE item = ?", (quantity, item))
        self.log_effect(order_id, "release")

    def record_payment(self, order_id: str, reference: str, cents: int) -> None:
        """Write a payment down. The same reference is written once."""
        with self.connect() as db:
            added = db.execute("INSERT OR IGNORE INTO payments VALUES (?, ?, ?)", (reference, order_id, cents)).rowcount
        if added:
            self.log_effect(order_id, "charge")

    def count_carrier_call(self, order_id: str) -> int:
        """Count that the carrier was asked for a label, and give the number of times so far."""
        with self.connect() as db:
            return db.execute(
                "INSERT INTO carrier_calls VALUES (?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1 RETURNING calls",
                (order_id,),
            ).fetchone()[0]

    def accept(self, order_id: str, customer: str) -> None:
        """Create the row of an order, unless its fulfilment was quicker."""
        with self.connect() as db:
            db.execute(
                "INSERT OR IGNORE INTO orders (order_id, customer, status) VALUES (?, ?, 'accepted')",
                (order_id, customer),
            )

    def set_status(self, order_id: str, customer: str, status: str, note: str = "") -> None:
        """Create or update the row of an order."""
        with self.connect() as db:
            db.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET status = excluded.status, note = excluded.note",
                (order_id, customer, status, note),
            )

    def rows(self, table: str) -> list[dict[str, object]]:
        """Give all rows of one of the shop's tables.

        Raises:
            ValueError: There is no such table.
        """
        if table not in {"stock", "orders", "payments", "carrier_calls"}:
            raise ValueError(f"no table {table!r}")
        with self.connect() as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1")]
