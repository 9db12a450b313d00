"""One round of the soak: a pair, random programs, and everything that the oracles demand afterwards.

Owns what a round is. In a round with kills, engine and service die at random moments; before some of them the file
is read, to see later that journals only grew. In a calm round nothing dies and nothing is kept, and what the engine
takes after a while is compared with what it takes after more of the same.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from durably.testing.oracles import (
    Finding,
    check_acknowledged,
    check_file,
    check_growth,
    check_image,
    check_quiescent,
    require,
)
from durably.testing.store_images import StoreImage
from tests.conformance.suite.clients import Admin, Deadline
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess
from tests.conformance.suite.programs import Increments
from tests.conformance.suite.soak import Soak, SoakReport
from tests.conformance.suite.stages import Pair
from tests.engine.suite.usage import MIB, Usage, UsageWatch, check_idle
from tests.engine.suite.witnesses import Witnesses

__all__ = ["NEVER_SECONDS", "PROGRAMS_A_SECOND", "play_calm_round", "play_round"]

PROGRAMS_A_SECOND: Final = 28
NEVER_SECONDS: Final = 1e6
_OBJECTS: Final = 20
_IMAGES: Final = 3
_KILL_SPREAD: Final = (0.5, 1.5)
_PATIENCE_SECONDS: Final = 30.0
# With the default retries the work stands still for longer than the service needs to start again.
_QUICK_RETRIES: Final = {
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "1000",
}
_CALM: Final = Column(Host.IN_PROCESS, Handlers.ASYNC, Setting.DEFAULT, server=Server.ENGINE)
_KEPT: Final = {"journal_retention": "1s", "idempotency_retention": "1s"}
_KEPT_SECONDS: Final = 1.2
_PARTS: Final = 4
_JSON: Final = {"content-type": "application/json"}
_NEVER: Final = (NEVER_SECONDS, NEVER_SECONDS)
_FILE_SLACK: Final = 2 * MIB


class _Round:
    """A pair with everything that watches it."""

    def __init__(
        self, column: Column, directory: Path, seed: int, programs: int, kill_seconds: tuple[float, float]
    ) -> None:
        log = directory / "witness.log"
        self.pair = Pair(column, directory, settings=_QUICK_RETRIES, environment={"DURABLY_WITNESS_LOG": str(log)})
        assert isinstance(self.pair.server, EngineProcess)
        self.engine: EngineProcess = self.pair.server
        submit_seconds = programs / PROGRAMS_A_SECOND
        self.deadline = Deadline(submit_seconds * 4 + 90)
        self.images: list[StoreImage] = []
        self.soak = self.make_soak(seed, programs, kill_seconds)
        self.witnesses = Witnesses(lambda: self.engine.ingress_url, log, self.deadline)
        self.watch = UsageWatch(lambda: self.engine.pid, self.engine.file)

    def make_soak(self, seed: int, programs: int, kill_seconds: tuple[float, float]) -> Soak:
        return Soak(
            self.pair,
            seed=seed,
            programs=programs,
            keys=_OBJECTS,
            submit_seconds=programs / PROGRAMS_A_SECOND,
            service_kill_seconds=kill_seconds[0],
            server_kill_seconds=kill_seconds[1],
            patience_seconds=_PATIENCE_SECONDS,
            kill_spread=_KILL_SPREAD,
            before_kill=self._look,
        )

    def _look(self) -> None:
        if len(self.images) < _IMAGES:
            self.images.append(StoreImage.read(self.engine.file))

    def usage(self) -> Usage:
        assert self.engine.pid is not None
        return Usage.of(self.engine.pid, self.engine.file)

    def played(self, play: Callable[[_Round], SoakReport], note: str) -> SoakReport:
        """Start the pair, play, and stop the pair, whatever comes of it."""
        try:
            self.pair.start()
            return play(self)
        except BaseException as error:
            error.add_note(f"{note}\n{self.pair.logs()}")
            raise
        finally:
            self.pair.stop()


def play_round(
    column: Column, directory: Path, *, seed: int, programs: int, kill_seconds: tuple[float, float]
) -> SoakReport:
    """Play programs on a new engine, killing it and the service, and check what is left.

    Args:
        column: How they run.
        directory: Where the file and the logs go.
        seed: Decides the programs.
        programs: How many.
        kill_seconds: The time between two kills of the service and of the engine, on average.

    Raises:
        AssertionError: An increment was lost or repeated, work is stuck, or an oracle found something.
    """

    def play(it: _Round) -> SoakReport:
        with it.watch:
            with it.witnesses:
                report = it.soak.run(it.deadline)
            require(*_after_kills(it), *it.watch.check())
        return report

    return _Round(column, directory, seed, programs, kill_seconds).played(play, f"seed {seed}, {programs} programs")


def _after_kills(it: _Round) -> list[Finding]:
    last = StoreImage.read(it.engine.file)
    findings = [*check_image(last), *check_quiescent(last), *check_file(it.engine.file)]
    findings += check_acknowledged(last, [*it.soak.acknowledged.values(), *it.witnesses.acknowledged])
    for before, after in zip(it.images, [*it.images[1:], last], strict=True):
        findings += [*check_image(before), *check_growth(before, after)]
    findings += it.witnesses.check(it.soak.deaths)
    if len(it.soak.acknowledged) != len(it.soak.programs) or not it.witnesses.answers:
        findings.append(Finding("O12", "clients", "not every client was answered"))
    return findings


def play_calm_round(directory: Path, *, seed: int, programs: int) -> SoakReport:
    """Play programs on an engine that keeps nothing and is left alone, and check that it does not grow.

    Args:
        directory: Where the file and the logs go.
        seed: Decides the programs.
        programs: Half of them are played, in four parts.

    Raises:
        AssertionError: An increment was lost or repeated, or memory, descriptors, threads or the file grew.
    """

    def play(it: _Round) -> SoakReport:
        _keep_little(it.engine)
        total = 0
        begun = time.monotonic()

        def work(part: int) -> Usage:
            nonlocal total
            soak = it.make_soak(seed + part, share, _NEVER)
            soak.expected += expected
            soak.run(it.deadline)
            expected.update(soak.expected - expected)
            total += share
            return it.usage()

        expected: Increments = Counter()
        with it.watch:
            warm = work(0)
            findings = warm.check(work(1))
            findings += _check_idle(it)
            once = _swept(it)
            work(2)
            work(3)
            twice = _swept(it)
            if twice > once * 1.1 + _FILE_SLACK:
                findings.append(Finding("O10", "the file", f"{once} bytes, {twice} after as much work again"))
            image = StoreImage.read(it.engine.file)
            findings += [*it.watch.check(), *check_file(it.engine.file), *check_image(image), *check_quiescent(image)]
        require(*findings)
        return SoakReport(total, expected.total(), 0, 0, time.monotonic() - begun)

    share = max(programs // (2 * _PARTS), 1)
    return _Round(_CALM, directory, seed, programs, _NEVER).played(play, f"seed {seed}, {programs} programs, calm")


def _keep_little(engine: EngineProcess) -> None:
    admin = Admin(engine.admin_url, Deadline(_PATIENCE_SECONDS))
    for row in admin.query("select name from sys_service"):
        answer = admin.request("PATCH", f"/services/{row['name']}", json.dumps(_KEPT).encode(), _JSON)
        assert answer.status == 200, answer


def _check_idle(it: _Round) -> list[Finding]:
    assert it.engine.pid is not None
    return check_idle(it.engine.pid)


def _swept(it: _Round) -> int:
    """Start the engine anew, which makes it sweep, and give the size of its file when all is forgotten."""
    time.sleep(_KEPT_SECONDS)
    it.engine.terminate()
    it.engine.start()
    admin = Admin(it.engine.admin_url, Deadline(_PATIENCE_SECONDS))
    while admin.query("select count(*) as n from sys_invocation")[0]["n"]:
        admin.deadline.remaining()
        time.sleep(0.1)
    _keep_little(it.engine)  # its services were registered again
    return it.usage().file
