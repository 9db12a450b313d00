"""Crashes an engine at chosen points, many times, without starting an interpreter each time.

Owns the forking: this process imports everything, then each run is a child of it. A run dies at the chosen pass of a
fault point, another one goes on with the same file, and sometimes dies while it recovers; the last one is judged here
and the findings are printed.

    python -m tests.engine.crash.zygote DIRECTORY SETTING STEP

dies at every STEPth statement, and more often at the points that a batch passes once; STEP 1 dies at every pass of
every point. It prints one line of JSON for each.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import logging
import os
import pkgutil
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import durably.engine
from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.protocol.messages import CLASS_OF, MessageType
from durably.testing.oracles import (
    Finding,
    KeyedAnswer,
    check_acknowledged,
    check_effects,
    check_file,
    check_growth,
    check_idempotency,
    check_image,
    check_quiescent,
)
from durably.testing.store_images import StoreImage
from tests.engine.crash.scenario import FLOWS, SETTINGS, append, play, services

PATIENCE_SECONDS = 20
LATEST_SECOND_PASS = 60
# How many passes of a point are tried where one statement is; what is shown too early is seen at one commit only.
PASSES_OF_A_STEP = {FaultPoint.STATEMENT: 1, FaultPoint.COMMIT: 40}
LEAK_SECONDS = 0.02


def run(directory: Path, setting: str, hook: Callable[[FaultPoint], None] | None) -> int:
    """Play the scenario in a child; give its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        _play_and_exit(directory, setting, hook)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _play_and_exit(directory: Path, setting: str, hook: Callable[[FaultPoint], None] | None) -> NoReturn:
    code = 1
    try:
        log = os.open(directory / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 2)
        logging.basicConfig(level=logging.WARNING, force=True)
        faults.hook = hook
        seen = asyncio.run(asyncio.wait_for(play(directory, SETTINGS[setting]), PATIENCE_SECONDS))
        (directory / "seen").write_text(json.dumps(seen))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def judge(directory: Path, before: StoreImage | None, executed_before: int, crashes: int) -> list[Finding]:
    """Give what is wrong after the last run."""
    seen: dict[str, Any] = json.loads((directory / "seen").read_text())
    image = StoreImage.read(directory / "engine.db")
    findings = [*check_image(image), *check_quiescent(image), *check_file(directory / "engine.db")]
    answers = _answers(directory)
    findings += check_idempotency(answers)
    findings += check_acknowledged(image, {answer.invocation_id for answer in answers})
    for key in FLOWS:
        if seen["totals"][key] != 11 or seen["gates"][key] != "word resolved":  # 1 + 10
            findings.append(Finding("O2", key, f"the result is {seen}"))
    effects = lines(directory / "effects")
    findings += [
        Finding("O1", f"flow {key}", f"{seen['flows'][key]}")
        for key in FLOWS
        if not isinstance(seen["flows"][key], list)
    ]
    if findings:
        return findings
    tokens = [token for key in FLOWS for token in seen["flows"][key]]
    findings += check_effects(
        [token.partition(":")[0] for token in effects], [token.partition(":")[0] for token in tokens], crashes=crashes
    )
    findings += [Finding("O6", token, "it is a result that no step gave") for token in tokens if token not in effects]
    if before is not None:
        findings += check_growth(before, image)
        again = {token.partition(":")[0] for token in effects[executed_before:]}
        findings += [
            Finding("O6", name, "its result was stored and it ran again") for name in _recorded(before) & again
        ]
    return findings


def _recorded(image: StoreImage) -> set[str]:
    """Give the names of the steps whose results are stored."""
    names: set[str] = set()
    for invocation in image.invocations.values():
        for entry in invocation.entries:
            if entry.type == MessageType.RUN_COMPLETION:
                notification: Any = CLASS_OF[entry.type].FromString(entry.payload)
                names.add(str(json.loads(notification.value.content)).partition(":")[0])
    return names


def _answers(directory: Path) -> list[KeyedAnswer]:
    answers: list[KeyedAnswer] = []
    for line in lines(directory / "answers"):
        key, invocation_id, *body = line.split(" ", 2)
        answers.append(KeyedAnswer(key, invocation_id, body[0].encode() if body else None))
    return answers


def lines(path: Path) -> list[str]:
    """Give the lines of a log that may not be there."""
    return path.read_text().splitlines() if path.exists() else []


def crash_at(directory: Path, setting: str, point: FaultPoint, number: int) -> dict[str, Any]:
    """Die at one pass of a point, at odd numbers once more while the next run recovers; then give the verdict."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    first = run(directory, setting, _dying(directory, number, point))
    died = lines(directory / "died")
    file = directory / "engine.db"
    before = StoreImage.read(file) if died and has_schema(file) else None
    executed = len(lines(directory / "effects"))
    last = first
    if died and number % 2:
        last = run(directory, setting, _dying(directory, number % LATEST_SECOND_PASS + 1, None))
    if last != 0:
        last = run(directory, setting, None)
    crashes = len(lines(directory / "died"))
    findings = (
        judge(directory, before, executed, crashes) if last == 0 else [Finding("O12", "the last run", "it failed")]
    )
    if before is not None:
        findings += check_image(before)
    verdict = {"point": point.value, "pass": number, "crashes": crashes, "findings": [*map(str, findings)]}
    if findings:
        verdict["log"] = lines(directory / "log")[-25:]
    return verdict


def _dying(directory: Path, number: int, wanted: FaultPoint | None) -> Callable[[FaultPoint], None]:
    """Make a hook that kills its process at one pass of a point, or of all points together."""
    passes = itertools.count(1)

    def die(point: FaultPoint) -> None:
        if (wanted is None or point is wanted) and next(passes) == number:
            if point is FaultPoint.COMMIT:
                time.sleep(LEAK_SECONDS)  # what was shown before it is stored, gets seen
            append(directory / "died", point.value)
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def count_passes(directory: Path, setting: str) -> dict[FaultPoint, int]:
    """Play the scenario undisturbed and count how often each point is passed."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    code = run(directory, setting, lambda point: append(directory / "passed", point.value))
    if code != 0:
        raise RuntimeError(f"The undisturbed run failed: {(directory / 'log').read_text()}")
    return Counter(FaultPoint(name) for name in lines(directory / "passed"))


def has_schema(file: Path) -> bool:
    """Whether the crash came after the file was made."""
    import sqlite3

    try:
        StoreImage.read(file)
    except sqlite3.OperationalError:
        return False
    return True


def warm_up() -> None:
    """Import what an engine imports when it starts, so that the children need not."""
    for module in pkgutil.walk_packages(durably.engine.__path__, "durably.engine."):
        importlib.import_module(module.name)
    services(Path(os.devnull))
    importlib.import_module("durably.endpoint")


def main() -> None:
    """Read the command line and play."""
    warm_up()
    directory, setting, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    passes = count_passes(directory / "undisturbed", setting)
    for point, times in passes.items():
        stride = max(1, step // PASSES_OF_A_STEP.get(point, 6))
        for number in range(1 + stride // 2, times + 1, stride):
            folder = directory / f"{point.value}-{number}"
            verdict = crash_at(folder, setting, point, number)
            sys.stdout.write(json.dumps(verdict) + "\n")
            sys.stdout.flush()
            if not verdict["findings"]:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
