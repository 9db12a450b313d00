"""Running completed invocations again, from the start or with a part of their journal."""

from __future__ import annotations

import pytest

from durably.engine.actions import Failed, Restarted
from durably.engine.events import Purge, RegisterDeployment, Restart
from durably.engine.records import InvokedBy, Status
from durably.protocol import messages
from durably.protocol.messages import MessageType as T
from tests.engine.core.box import SERVICES, Box, deployment, frame


def run(completion: int):
    """A step's command."""
    return frame(T.RUN, messages.RunCommand(result_completion_id=completion))


def result(completion: int, value: bytes = b"old"):
    """A step's result."""
    message = messages.ProposeRunCompletion(result_completion_id=completion, value=value)
    return frame(T.PROPOSE_RUN_COMPLETION, message)


def finished(box: Box, handler: str = "Greeter/greet", key: str = "") -> str:
    """A completed invocation: two steps whose results came in the other order, then a third."""
    invocation_id = box.started(handler, b"in", key=key)
    box.send(invocation_id, run(1), run(2), result(2), result(1), run(3), result(3))
    box.output(invocation_id)
    return invocation_id


def restart(box: Box, invocation_id: str, from_index: int = 0, wanted: str = "latest"):
    """Restart; give the answer."""
    token = box.token()
    box.do(Restart(invocation_id, from_index, wanted, token))
    return box.replies[token]


def test_restart_from_the_input():
    """The copy has the input alone, the seed of the original, and an id of its own."""
    box = Box()
    original = finished(box)
    answer = restart(box, original)
    assert isinstance(answer, Restarted)
    copy = box.get(answer.new_invocation_id)
    assert copy.id != original
    assert box.types(copy.id) == [T.INPUT]
    assert (copy.invoked_by, copy.parent_id) == (InvokedBy.RESTART, original)
    assert copy.random_seed == box.get(original).random_seed
    assert copy.status is Status.RUNNING


@pytest.mark.parametrize(
    ("from_index", "types", "handles"),
    [
        (1, [T.INPUT, T.RUN, T.RUN_COMPLETION], [1]),
        (2, [T.INPUT, T.RUN, T.RUN, T.RUN_COMPLETION, T.RUN_COMPLETION], [2, 1]),
        (3, [T.INPUT, T.RUN, T.RUN, T.RUN_COMPLETION, T.RUN_COMPLETION], [2, 1]),
        (7, [T.INPUT, T.RUN, T.RUN, T.RUN_COMPLETION, T.RUN_COMPLETION, T.RUN, T.RUN_COMPLETION], [2, 1, 3]),
    ],
)
def test_restart_keeps_a_prefix(from_index: int, types: list[T], handles: list[int]):
    """Entries up to the index are kept, and what completes their commands; never an output."""
    box = Box()
    answer = restart(box, finished(box), from_index)
    assert box.types(answer.new_invocation_id) == types
    journal = box.journal(answer.new_invocation_id)
    assert [entry.handle for entry in journal if entry.handle] == handles
    assert [entry.index for entry in journal] == list(range(len(types)))
    assert box.plans[answer.new_invocation_id][0].known_entries == len(types)


def test_restart_amid_an_unfinished_command_is_refused():
    """A command in the prefix that was never completed could never be: 400."""
    box = Box()
    invocation_id = box.started()
    box.send(invocation_id, run(1), run(2), result(2))
    box.output(invocation_id)
    refused = restart(box, invocation_id, 1)
    assert isinstance(refused, Failed)
    assert refused.code == 400
    assert isinstance(restart(box, invocation_id), Restarted)


def test_restart_refusals():
    """Unknown, unfinished, without a journal, beyond it, workflows, old versions: each with its status."""
    box = Box()
    running = box.started()
    scheduled = box.replies[box.invoke(send=True, delay_ms=9)].invocation_id
    workflow = finished(box, "Flow/run", "w")
    purged = finished(box)
    box.do(Purge(purged, journal_only=True))
    old = Box(version=5)
    for place, invocation_id, from_index, code in (
        (box, "inv_1" + "0" * 33, 0, 404),
        (box, running, 0, 409),
        (box, scheduled, 0, 425),
        (box, workflow, 0, 422),
        (box, purged, 0, 410),
        (box, finished(box), 99, 400),
        (old, finished(old), 1, 400),
    ):
        refused = restart(place, invocation_id, from_index)
        assert isinstance(refused, Failed)
        assert refused.code == code


def test_restart_of_an_object_queues_up():
    """The copy takes its turn behind the holder of the key."""
    box = Box()
    original = finished(box, "Counter/add", "k")
    box.started("Counter/add", key="k")
    answer = restart(box, original)
    assert box.status(answer.new_invocation_id) is Status.INBOXED


def test_restart_chooses_the_deployment():
    """The latest by default, the original's with `keep`, or any by its id."""
    box = Box()
    original = finished(box)
    box.do(RegisterDeployment(deployment(2), SERVICES))
    box.do(RegisterDeployment(deployment(3), SERVICES))
    chosen = {}
    for wanted in ("latest", "keep", "dp_2"):
        answer = restart(box, original, 0, wanted)
        chosen[wanted] = box.plans[answer.new_invocation_id][0].deployment.id
    assert chosen == {"latest": "dp_3", "keep": "dp_1", "dp_2": "dp_2"}
    assert isinstance(restart(box, original, 0, "dp_9"), Failed)
