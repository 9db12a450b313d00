"""The same random programs on the engine and on the real server: same results, same state, same journals.

Owns the comparison. Programs run one after the other, so that the order in which objects are called is the same on
both; what a program does not wait for may end later, hence only the commands of a journal are compared in their order.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.services.interpretation import layer_name
from tests.conformance.suite.binary import require_server
from tests.conformance.suite.clients import Deadline, InvocationFailedError
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.programs import generate
from tests.conformance.suite.stages import Pair, Stage

SEED = int(os.environ.get("DURABLY_CONFORMANCE_SEED", "11"))
PROGRAMS = int(os.environ.get("DURABLY_CONFORMANCE_PROGRAMS", "40"))
SECONDS = 90.0


@pytest.mark.timeout(300)
def test_random_programs_agree(tmp_path: Path) -> None:
    """Each program has the same answer and the same commands on both, and all counters are equal in the end."""
    require_server()
    rng = random.Random(SEED)
    keys = ["x", "y", "z"]
    programs = [(rng.choice(keys), generate(rng, keys)) for _ in range(PROGRAMS)]
    with ExitStack() as stack:
        seen: dict[Server, Any] = {}
        for server in (Server.ENGINE, Server.RESTATE):
            pair = Pair(Column(Host.HYPERCORN, Handlers.ASYNC, Setting.DEFAULT, server=server), tmp_path / server.value)
            stack.callback(pair.stop)
            pair.start()
            seen[server] = _play(Stage(pair, SECONDS), programs)
    for number, (engine, real) in enumerate(zip(seen[Server.ENGINE][0], seen[Server.RESTATE][0], strict=True)):
        assert engine == real, f"program {number} of seed {SEED}: {programs[number]}"
    assert seen[Server.ENGINE][1] == seen[Server.RESTATE][1]


def _play(stage: Stage, programs: list[tuple[str, dict[str, Any]]]) -> tuple[list[object], list[dict[str, Any]]]:
    stage.deadline = Deadline(SECONDS)
    answers: list[object] = []
    for key, program in programs:
        sent = stage.ingress.send(layer_name(0), key, "interpret", argument=program)
        try:
            answer = stage.ingress.attach(sent.invocation_id)
        except InvocationFailedError as failure:
            answer = (failure.status, failure.message)
        rows = stage.poll(
            lambda invocation=sent.invocation_id: stage.admin.query(
                f"select index, entry_type from sys_journal where id = '{invocation}' order by index"
            ),
            until=lambda found: bool(found) and found[-1]["entry_type"] == "Command: Output",
            what="the journal is complete",
        )
        commands = [row["entry_type"] for row in rows if row["entry_type"].startswith("Command")]
        answers.append((answer, commands))
    stage.poll(
        lambda: stage.admin.query("select id from sys_invocation where status != 'completed'"),
        until=lambda rows: not rows,
        what="everything has ended",
    )
    state = "select service_name, service_key, key, value_utf8 from state order by service_name, service_key, key"
    return answers, stage.admin.query(state)
