"""Plays random programs while the service and the server are killed again and again.

Owns the killing, the submitting and the oracle: each increment is counted once, exactly, whatever dies.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.services.interpretation import layer_name
from tests.conformance.suite.clients import Admin, Deadline, Ingress, InvocationFailedError
from tests.conformance.suite.programs import Increments, generate, predict
from tests.conformance.suite.stages import Pair

__all__ = ["Soak", "SoakReport"]

_RETRYABLE: Final = (OSError, http.client.HTTPException, InvocationFailedError)
SUBMITTERS: Final = 4
POLL_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class SoakReport:
    """The figures of a run."""

    programs: int
    increments: int
    service_kills: int
    server_kills: int
    seconds: float


class Soak:
    """One run of many programs on a pair.

    Args:
        pair: The running server and service; only this run uses them.
        seed: Decides all programs.
        programs: How many.
        keys: How many objects each layer has; fewer means more contention.
        submit_seconds: Submissions are spread over this time, so that kills fall into the work.
        service_kill_seconds: The time between two kills of the service, on average.
        server_kill_seconds: The time between two kills of the server, on average.
        patience_seconds: How long the difference to the prediction may stay the same before the run fails.
        kill_spread: Least and most of such a time, as a share of it.
        before_kill: Called before each kill of the server, while it runs.

    Attributes:
        acknowledged: The id that was answered for each submitted program, by its number.
        deaths: When a process was dead for sure, by the monotonic clock.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        seed: int,
        programs: int,
        keys: int,
        submit_seconds: float,
        service_kill_seconds: float,
        server_kill_seconds: float,
        patience_seconds: float,
        kill_spread: tuple[float, float] = (1.0, 1.0),
        before_kill: Callable[[], None] = lambda: None,
    ) -> None:
        """Generate the programs; submits nothing."""
        rng = random.Random(seed)
        self.seed = seed
        self.keys = [f"key-{number}" for number in range(keys)]
        self.programs: list[tuple[str, dict[str, Any]]] = [
            (rng.choice(self.keys), generate(rng, self.keys)) for _ in range(programs)
        ]
        self.expected: Increments = Counter()
        for key, program in self.programs:
            self.expected += predict(program, 0, key)
        self.pair = pair
        self.submit_seconds = submit_seconds
        self.service_kill_seconds = service_kill_seconds
        self.server_kill_seconds = server_kill_seconds
        self.patience_seconds = patience_seconds
        self.kill_spread = kill_spread
        self.service_kills = 0
        self.server_kills = 0
        self.acknowledged: dict[int, str] = {}
        self.deaths: list[float] = []
        self._before_kill = before_kill
        self._calm = threading.Event()

    def run(self, deadline: Deadline) -> SoakReport:
        """Submit everything, kill in the meantime, and wait until the counters are as predicted.

        Raises:
            AssertionError: They are not, or never will be.
        """
        begun = time.monotonic()
        with ThreadPoolExecutor(SUBMITTERS + 2, thread_name_prefix="soak") as pool:
            killers = [pool.submit(self._kill_services), pool.submit(self._kill_servers)]
            try:
                pace = self.submit_seconds / len(self.programs)
                work = list(enumerate(self.programs))
                shares = [work[share::SUBMITTERS] for share in range(SUBMITTERS)]
                for submitter in [pool.submit(self._submit, share, begun, pace, deadline) for share in shares]:
                    submitter.result()
            finally:
                self._calm.set()
            for killer in killers:
                killer.result()
        self.pair.heal()
        self._settle(deadline)
        seconds = time.monotonic() - begun
        total = sum(self.expected.values())
        return SoakReport(len(self.programs), total, self.service_kills, self.server_kills, seconds)

    def _submit(
        self, share: Sequence[tuple[int, tuple[str, dict[str, Any]]]], begun: float, pace: float, deadline: Deadline
    ) -> None:
        ingress = Ingress(self.pair.server.ingress_url, deadline)
        for number, (key, program) in share:
            time.sleep(max(0.0, begun + number * pace - time.monotonic()))
            while True:
                try:
                    told = ingress.send(
                        layer_name(0),
                        key,
                        "interpret",
                        argument=program,
                        idempotency_key=f"program-{self.seed}-{number}",
                    )
                    self.acknowledged[number] = told.invocation_id
                    break
                except _RETRYABLE:
                    deadline.remaining()
                    time.sleep(0.05)

    def _kill_services(self) -> None:
        rng = random.Random(len(self.programs))
        while not self._calm.wait(self.service_kill_seconds * rng.uniform(*self.kill_spread)):
            self.pair.service.kill()
            self.deaths.append(time.monotonic())
            self.pair.service.start()
            self.service_kills += 1

    def _kill_servers(self) -> None:
        rng = random.Random(-len(self.programs))
        while not self._calm.wait(self.server_kill_seconds * rng.uniform(*self.kill_spread)):
            self._before_kill()
            self.pair.server.kill()
            self.deaths.append(time.monotonic())
            self.pair.server.start()
            self.server_kills += 1

    def _settle(self, deadline: Deadline) -> None:
        admin = Admin(self.pair.server.admin_url, deadline)
        last_progress, last_seen = time.monotonic(), (-1, -1)
        while True:
            counted, still_open = self._counters(admin), self._open(admin)
            if not still_open:
                break
            if (seen := (sum(counted.values()), still_open)) != last_seen:
                last_progress, last_seen = time.monotonic(), seen
            if time.monotonic() - last_progress > self.patience_seconds:
                raise AssertionError(f"{still_open} invocations are stuck.\n{self._stuck(admin)}")
            time.sleep(POLL_SECONDS)
        counted = self._counters(admin)
        wrong = {
            address: f"expected {self.expected[address]}, counted {counted[address]}"
            for address in self.expected.keys() | counted.keys()
            if self.expected[address] != counted[address]
        }
        assert not wrong, f"increments were lost or repeated: {wrong}"

    def _counters(self, admin: Admin) -> Increments:
        rows = admin.query(
            "select service_name, service_key, value_utf8 from state"
            " where key = 'counter' and service_name like 'ObjectInterpreter%'"
        )
        return Counter({(row["service_name"], row["service_key"]): int(row["value_utf8"]) for row in rows})

    def _open(self, admin: Admin) -> int:
        rows = admin.query("select count(*) as n from sys_invocation where status != 'completed'")
        return int(rows[0]["n"])

    def _stuck(self, admin: Admin) -> str:
        columns = "id, target, status, retry_count, last_failure, suspended_waiting_future_json"
        rows = admin.query(f"select {columns} from sys_invocation where status != 'completed' limit 5")
        described = [str(row) for row in rows]
        for row in rows:
            journal = f"select index, entry_type, completed, entry_lite_json from sys_journal where id = '{row['id']}'"
            described += [f"  {entry}" for entry in admin.query(journal)]
        return "\n".join(described)
