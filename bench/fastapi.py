"""What durability adds to a FastAPI endpoint: latency and throughput, beside the plain endpoint and beside DBOS.

Owns the claims. Each side is a uvicorn process of its own (`bench.fastapi_apps`) on an empty folder, asked over HTTP by
this process, one connection for each client. All sides do the same three steps, which take no time. Rounds of the sides
take turns, and medians are compared. DBOS is of the extra `bench`; it is left out where it is not installed.

    python -m bench.fastapi
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count

from bench.fastapi_apps import STEPS
from bench.report import Claim, print_claims
from durably.testing.ports import free_port

ROUNDS = 5
CALLS = 200
CLIENTS = 16
THROUGHPUT_SECONDS = 2.0
START_SECONDS = 30.0
LATENCY_TARGET = 1 / 2
THROUGHPUT_TARGET = 1 / 2
COLUMNS = ("durably", "DBOS", "plain")
BODY = json.dumps({"sku": "mug", "quantity": 2})
Figures = dict[str, dict[str, float]]


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def order(self, number: int) -> float:
        """Send an order; give how long the answer took, in seconds.

        Raises:
            RuntimeError: It is not the right one: a fast failure must not look like a fast success.
        """
        begun = time.perf_counter()
        self._connection.request("POST", f"/orders/{number}", BODY, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        took = time.perf_counter() - begun
        if answer.status != 200 or json.loads(content) != {"number": number, "done": list(STEPS)}:
            raise RuntimeError(f"{answer.status} {content[:500]!r}")
        return took

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving(side: str) -> Iterator[int]:
    """Run the app of one side; give its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="durably-bench-") as directory:
        command = [sys.executable, "-m", "bench.fastapi_apps", side, str(port), directory]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _wait(process, port)
            yield port
        finally:
            process.kill()
            process.communicate()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        client = Client(port)
        try:
            client.order(0)
            return
        except ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"the app did not start: {process.communicate()[1].decode()[-2000:]}") from None
            time.sleep(0.02)
        finally:
            client.close()


def measure(side: str) -> dict[str, float]:
    """Measure one side once."""
    with serving(side) as port:
        numbers = count(1)
        client = Client(port)
        seen = [client.order(next(numbers)) for _ in range(CALLS)][CALLS // 10 :]
        client.close()
        end = time.perf_counter() + THROUGHPUT_SECONDS

        def work() -> int:
            own, done = Client(port), 0
            while time.perf_counter() < end:
                own.order(next(numbers))
                done += 1
            own.close()
            return done

        begun = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            done = sum(each.result() for each in [clients.submit(work) for _ in range(CLIENTS)])
        per_second = done / (time.perf_counter() - begun)
    return {"latency_ms": statistics.median(seen) * 1000, "per_second": per_second}


def measure_all(sides: list[str]) -> Figures:
    """Measure all sides in turns; give the medians."""
    seen: dict[str, list[dict[str, float]]] = {}
    for _ in range(ROUNDS):
        for side in sides:
            seen.setdefault(side, []).append(measure(side))
    return {
        side: {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        for side, rounds in seen.items()
    }


def claims(figures: Figures) -> list[Claim]:
    """Compare a durable endpoint with the plain one, and what each way adds."""
    mine, plain, peer = figures["durably"], figures["plain"], figures.get("dbos")
    latency = {side: f"{found['latency_ms']:.2f} ms" for side, found in figures.items()}
    speed = {side: f"{found['per_second']:.0f}/s" for side, found in figures.items()}
    found = [
        Claim(
            "latency at 1, beside the plain endpoint",
            latency["durably"],
            latency.get("dbos", ""),
            latency["plain"],
            mine["latency_ms"] / plain["latency_ms"],
        ),
        Claim(
            f"throughput at {CLIENTS}, beside the plain endpoint",
            speed["durably"],
            speed.get("dbos", ""),
            speed["plain"],
            plain["per_second"] / mine["per_second"],
        ),
    ]
    if peer is not None:
        ours, theirs = (each["latency_ms"] - plain["latency_ms"] for each in (mine, peer))
        busy, busy_peer = (1000 / each["per_second"] - 1000 / plain["per_second"] for each in (mine, peer))
        found += [
            Claim(
                "what it adds to the latency", f"{ours:.2f} ms", f"{theirs:.2f} ms", "", ours / theirs, LATENCY_TARGET
            ),
            Claim(
                f"added to the time of a call, {CLIENTS} at once",
                f"{busy:.2f} ms",
                f"{busy_peer:.2f} ms",
                "",
                busy / busy_peer,
                THROUGHPUT_TARGET,
            ),
        ]
    return found


def main() -> int:
    """Measure and print; the exit status says whether every claim was kept."""
    sides = ["plain", "durably", "dbos"]
    if importlib.util.find_spec("dbos") is None:
        print("dbos is not installed: pip install -e '.[bench]'")
        sides.remove("dbos")
    return 0 if print_claims("a durable FastAPI endpoint with three steps", claims(measure_all(sides)), COLUMNS) else 1


if __name__ == "__main__":
    sys.exit(main())
