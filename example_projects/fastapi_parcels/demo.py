"""The parcel shop, killed in the middle: every order is finished and no step was done twice.

    python demo.py              (or `make demo` from the root of the repository)
    python demo.py --server     (or `make demo-server`)

It starts the shop, sends the first orders of `orders.csv` to it, kills its process with SIGKILL while parcels wait for
the courier, starts it again, sends the rest of the orders, and the first ones once more, and waits. What it then shows
comes from the effects log and the shop's database. The exit status is 0 only if everything is as it must be.

The shop runs its handlers with the engine in its own process. With `--server` the same app uses a Restate Server that
the demo starts beside it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from durably.testing.ports import free_port
from durably.testing.server import RestateServer, ServerNotFoundError, find_server
from parcels.store import Store

APP = "parcels.app:app"
HERE = Path(__file__).resolve().parent
BEFORE_THE_CRASH = 7
PICKUP_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
STEPS = ("reserve", "charge", "label", "mail", "release")

# What must have happened by the end, and what the input makes of it.
SHIPPED = Counter({"reserve": 1, "charge": 1, "label": 1, "mail": 1})
COMPENSATED = Counter({"reserve": 1, "release": 1})
NEVER_STARTED: Counter[str] = Counter()
EXPECTED = {
    "P-1004": ("refused", COMPENSATED, "card declined"),
    "P-1006": ("refused", NEVER_STARTED, "out of stock"),
    "P-1011": ("refused", COMPENSATED, "card declined"),
}
RETRIED = frozenset({"P-1002", "P-1007"})

console = Console(width=118, highlight=False)


@dataclass
class Shop:
    """The shop's process, and where it keeps its files.

    Attributes:
        directory: Of its files.
        port: On which it listens.
        restate_url: Of the ingress of its Restate Server; None for the engine in its own process.
        process: While it runs.
    """

    directory: Path
    port: int
    restate_url: str | None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the FastAPI app listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> int:
        """Start hypercorn with the app and wait for its first answer; give the process id."""
        environment = os.environ | {
            "PARCELS_DIRECTORY": str(self.directory),
            "PARCELS_PICKUP_SECONDS": str(PICKUP_SECONDS),
        }
        if self.restate_url is not None:
            environment["PARCELS_RESTATE_URL"] = self.restate_url
        with (self.directory / "shop.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hypercorn", "-c", "hypercorn.toml", "-b", f"127.0.0.1:{self.port}", APP],
                cwd=HERE,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for("the shop to answer", self.answers)
        return self.process.pid

    def answers(self) -> bool:
        """Whether the app is up.

        Raises:
            TimeoutError: It will never be, because its process has ended.
        """
        if self.process is not None and self.process.poll() is not None:
            raise TimeoutError(f"the shop's process ended with status {self.process.returncode}")
        try:
            return httpx.get(f"{self.url}/stock", timeout=2).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End the process and its worker at once, as a crash or the kernel would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def place(self, orders: list[dict[str, str]]) -> dict[str, str]:
        """Send orders to the shop, as their customers would; give the invocation of each."""
        placed: dict[str, str] = {}
        for order in orders:
            answer = httpx.post(f"{self.url}/orders", json=order, timeout=10).raise_for_status().json()
            placed[order["order_id"]] = answer["invocation"]
        return placed

    def effects(self) -> list[dict[str, object]]:
        """Read the effects log."""
        log = self.directory / "effects.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []

    def rows(self, path: str) -> list[dict[str, object]]:
        """Ask the app for a list."""
        found: list[dict[str, object]] = httpx.get(self.url + path, timeout=10).raise_for_status().json()
        return found


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    """Ask again and again until it holds.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:.0f} seconds for {what}")
        time.sleep(0.05)


def has_settled(shop: Shop, orders: list[dict[str, str]]) -> bool:
    """Whether each of these orders has its label and waits for the courier, or was refused."""
    labelled = {effect["order"] for effect in shop.effects() if effect["effect"] == "label"}
    refused = {row["order_id"] for row in shop.rows("/orders") if row["status"] == "refused"}
    if not all(order["order_id"] in labelled | refused for order in orders):
        return False
    stages = [httpx.get(f"{shop.url}/orders/{order['order_id']}/stage", timeout=10) for order in orders]
    return all(stage.json()["stage"] in {"waiting for the courier", "refused"} for stage in stages)


def run(shop: Shop, server: RestateServer | None, orders: list[dict[str, str]]) -> int:
    """Tell the story; give how many lines the effects log had at the crash.

    Raises:
        TimeoutError: The shop does not get on.
    """
    first_process = shop.start()
    if server is None:
        console.print(f"The shop runs as process {first_process}: FastAPI with the engine inside, and nothing beside.")
    else:
        server.register(f"{shop.url}/restate")
        console.print(f"The shop runs as process {first_process}, with a Restate Server as process {server.pid}.")

    early, late = orders[:BEFORE_THE_CRASH], orders[BEFORE_THE_CRASH:]
    placed = shop.place(early)
    console.print(f"{len(early)} orders of orders.csv went to POST /orders.")
    wait_for("the first orders to reach the courier", lambda: has_settled(shop, early))

    waiting = sum(row["status"] == "accepted" for row in shop.rows("/orders"))
    shop.kill()
    effects_before = len(shop.effects())
    console.print(f"[red]kill -9[/] {first_process}: the shop is gone while {waiting} parcels wait for the courier.")

    second_process = shop.start()
    console.print(f"The shop is back as process {second_process}.")
    shop.place(late)
    again = shop.place(early)
    known = sum(again[name] == placed[name] for name in placed)
    console.print(f"{len(late)} more orders came in. {len(early)} customers sent theirs again: {known} known.\n")
    done = {"shipped", "refused"}
    wait_for(
        "every order to end",
        lambda: sum(row["status"] in done for row in shop.rows("/orders")) == len(orders),
    )
    return effects_before


def report(shop: Shop, orders: list[dict[str, str]], effects_before: int) -> list[str]:
    """Print what happened to each order; give what is not as it must be."""
    effects: dict[str, Counter[str]] = {order["order_id"]: Counter() for order in orders}
    after_crash: Counter[str] = Counter()
    for number, effect in enumerate(shop.effects()):
        effects[str(effect["order"])][str(effect["effect"])] += 1
        after_crash[str(effect["order"])] += number >= effects_before
    calls = {str(row["order_id"]): row["calls"] for row in Store(shop.directory).rows("carrier_calls")}
    states = {str(row["order_id"]): row for row in shop.rows("/orders")}

    table = Table(title="How often each step had its effect", title_justify="left")
    table.add_column("order")
    for step in STEPS:
        table.add_column(step, justify="right")
    table.add_column("label tries", justify="right")
    table.add_column("after crash", justify="right")
    table.add_column("ended as")
    table.add_column("because")
    wrong: list[str] = []
    for order in orders:
        name = order["order_id"]
        status, counts, reason = EXPECTED.get(name, ("shipped", SHIPPED, ""))
        state = states[name]
        is_right = state["status"] == status and effects[name] == counts
        if name in RETRIED and calls.get(name) != 3:
            is_right = False
        if not is_right:
            wrong.append(f"{name}: {state['status']} with {dict(effects[name])}, {calls.get(name, 0)} label tries")
        table.add_row(
            name,
            *(str(effects[name][step] or "·") for step in STEPS),
            str(calls.get(name, "·")),
            str(after_crash[name] or "·"),
            f"[{'green' if is_right else 'red'}]{state['status']}[/]",
            reason,
        )
    console.print(table)
    wrong += _money_and_goods(shop, orders)
    return wrong


def _money_and_goods(shop: Shop, orders: list[dict[str, str]]) -> list[str]:
    """Check the books: what left the shelves was paid for, once."""
    with (HERE / "stock.csv").open(newline="", encoding="utf-8") as lines:
        stock = {row["item"]: (int(row["in_stock"]), int(row["price_cents"])) for row in csv.DictReader(lines)}
    shipped = [order for order in orders if order["order_id"] not in EXPECTED]
    sold = Counter[str]()
    for order in shipped:
        sold[order["item"]] += int(order["quantity"])
    due = sum(stock[order["item"]][1] * int(order["quantity"]) for order in shipped)
    paid = sum(int(str(row["cents"])) for row in Store(shop.directory).rows("payments"))
    wrong = [
        f"stock of {row['item']} is {row['in_stock']}"
        for row in shop.rows("/stock")
        if row["in_stock"] != stock[str(row["item"])][0] - sold[str(row["item"])]
    ]
    console.print(f"Goods for {due / 100:.2f} left the shelves, {paid / 100:.2f} were paid.")
    return wrong if paid == due else [*wrong, f"{paid} cents were paid, {due} are due"]


def main() -> int:
    """Run the demo in a temporary directory."""
    parser = argparse.ArgumentParser(description="Kill a shop in the middle of its orders.")
    parser.add_argument("--server", action="store_true", help="run the handlers with a Restate Server")
    with_server = parser.parse_args().server
    with (HERE / "orders.csv").open(newline="", encoding="utf-8") as lines:
        orders = list(csv.DictReader(lines))
    try:
        server = RestateServer(binary=find_server(HERE)) if with_server else None
    except ServerNotFoundError as problem:
        console.print(f"[red]This demo needs a Restate Server.[/] {problem}")
        console.print("It comes as an npm package: install Node.js with npm, then run make demo-server again.")
        return 2
    with tempfile.TemporaryDirectory(prefix="parcels-") as directory, server or nullcontext():
        shop = Shop(Path(directory), free_port(), None if server is None else server.ingress_url)
        try:
            wrong = report(shop, orders, run(shop, server, orders))
        except (TimeoutError, httpx.HTTPError) as problem:
            console.print(f"[red]{problem}[/]")
            console.print((shop.directory / "shop.log").read_text()[-4000:], markup=False)
            return 1
        finally:
            shop.kill()
    for line in wrong:
        console.print(f"[red]wrong:[/] {line}")
    if not wrong:
        console.print(f"[green]All {len(orders)} orders ended as they must, and no step was done twice.[/]")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
