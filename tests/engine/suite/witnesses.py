"""Clients that work on an engine while it is killed, and what they and the handlers saw.

Owns the observations that the oracles O1, O4, O5, O6 and O8 judge: answers of a counter, tokens of steps, ids and
bodies for one idempotency key, and when attempts ran.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from durably.testing.oracles import (
    CounterAnswer,
    Finding,
    Interval,
    KeyedAnswer,
    check_chain,
    check_effects,
    check_exclusion,
    check_idempotency,
)
from tests.conformance.suite.clients import Answer, Deadline, Ingress

__all__ = ["Witnesses"]

_KEYS: Final = ("one", "two")
_AGAIN_EVERY: Final = 4
_PAUSE_SECONDS: Final = 0.05
_STATUSES_OF_A_CRASH: Final = (502, 503)


class Witnesses:
    """Calls counters and the witness until told to stop.

    Args:
        url: The ingress; it may die and come back.
        log: What the witness writes; see `tests.conformance.services.witnessing`.
        deadline: When everything has failed.

    Attributes:
        acknowledged: Ids of invocations whose result was answered.
    """

    def __init__(self, url: Callable[[], str], log: Path, deadline: Deadline) -> None:
        """Call nothing yet."""
        self._url = url
        self._log = log
        self._deadline = deadline
        self._done = threading.Event()
        self._counted: list[CounterAnswer] = []
        self._tokens: list[str] = []
        self._keyed: list[KeyedAnswer] = []
        self.acknowledged: list[str] = []
        self._pool = ThreadPoolExecutor(2 * len(_KEYS) + 2, thread_name_prefix="witness")

    def __enter__(self) -> Self:
        """Begin: two clients for the first counter, so that their calls overlap, and one for everything else."""
        clients = [(self._count, _KEYS[0]), *((work, key) for key in _KEYS for work in (self._count, self._act))]
        self._running = [self._pool.submit(work, key, number) for number, (work, key) in enumerate(clients)]
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the last answers; a client that got a wrong one raises here."""
        self._done.set()
        self._pool.shutdown(wait=True)

    def check(self, deaths: Iterable[float]) -> list[Finding]:
        """Judge what was seen.

        Args:
            deaths: When a process had died.
        """
        for client in self._running:
            client.result()
        died = sorted(deaths)
        intervals, executed = _read(self._log, died)
        return [
            *check_chain(self._counted),
            *check_exclusion(intervals),
            *check_effects(executed, self._tokens, crashes=len(died)),
            *check_idempotency(self._keyed),
        ]

    @property
    def answers(self) -> int:
        """How many calls were answered."""
        return len(self.acknowledged)

    def _count(self, key: str, client: int) -> None:
        for number in itertools.count():
            if self._done.wait(_PAUSE_SECONDS):
                return
            begun = time.monotonic()
            update: dict[str, int] = self._call(f"count-{client}-{number}", "Counter", key, "add", body=b"1").value()
            self._counted.append(
                CounterAnswer(f"Counter/{key}", update["oldValue"], update["newValue"], begun, time.monotonic())
            )

    def _act(self, key: str, client: int) -> None:
        for number in itertools.count():
            if self._done.wait(_PAUSE_SECONDS):
                return
            tokens: list[str] = self._call(f"act-{client}-{number}", "Witness", key, "act").value()
            self._tokens += tokens

    def _call(self, idempotency_key: str, *target: str, body: bytes | None = None) -> Answer:
        """Call until answered; some calls are made once more, and must be answered alike."""
        answer = self._insist(idempotency_key, *target, body=body)
        self.acknowledged.append(answer.headers["x-restate-id"])
        for each in [answer] + [
            self._insist(idempotency_key, *target, body=body) for _ in range(len(self.acknowledged) % _AGAIN_EVERY == 0)
        ]:
            self._keyed.append(KeyedAnswer(idempotency_key, each.headers["x-restate-id"], each.body))
        return answer

    def _insist(self, idempotency_key: str, *target: str, body: bytes | None) -> Answer:
        headers = {"content-type": "application/json"} if body is not None else {}
        while True:
            client = Ingress(self._url(), self._deadline)
            try:
                answer = client.raw(*target, body=body, headers=headers, idempotency_key=idempotency_key)
                if answer.status not in _STATUSES_OF_A_CRASH:
                    assert answer.status == 200, answer
                    return answer
            except (OSError, http.client.HTTPException):
                self._deadline.remaining()
            time.sleep(_PAUSE_SECONDS)


def _read(log: Path, deaths: list[float]) -> tuple[list[Interval], list[str]]:
    """Give when attempts ran, and the token of every execution of a step."""
    begun: dict[str, tuple[str, str, float]] = {}
    intervals: list[Interval] = []
    executed: list[str] = []
    for line in log.read_text().splitlines():
        match line.split():
            case ["step", token]:
                executed.append(token)
            case ["begin", address, invocation_id, attempt, moment]:
                begun[attempt] = (address, invocation_id, float(moment))
            case ["end", _, _, attempt, moment]:
                address, invocation_id, begin = begun.pop(attempt)
                intervals.append(Interval(address, invocation_id, begin, float(moment)))
            case words:
                raise AssertionError(f"the witness wrote {words!r}")
    for address, invocation_id, begin in begun.values():  # its process died in between
        end = next((death for death in deaths if death > begin), float("inf"))
        intervals.append(Interval(address, invocation_id, begin, end))
    return intervals, executed
