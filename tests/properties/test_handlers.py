"""Random handlers, sequential and concurrent: a journal cut after any entry replays to the same end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.programs import Program, endpoint_app, programs
from tests.runtime_model.runtime import Runtime


def command_frames(runtime: Runtime) -> list[tuple[int, bytes]]:
    """Give the journal's commands without the times that are read from a clock."""
    return [(kind, _without_time(kind, payload)) for kind, payload in runtime.journal if kind < 0x8000]


def _without_time(kind: int, payload: bytes) -> bytes:
    from durably.protocol import messages as wire
    from durably.protocol.messages import MessageType

    if kind != MessageType.SLEEP:
        return payload
    command = wire.SleepCommand.FromString(payload)
    command.wake_up_time = 0
    return command.SerializeToString()


async def reference(program: Program, **options: Any) -> Runtime:
    """Run the program once without faults."""
    runtime = Runtime(endpoint_app(program), "Random", "run", b"", **options)
    await runtime.run()
    return runtime


async def check_every_cut(program: Program, seed: int, streaming: bool) -> None:
    """Cut a run after each of its entries, replay, and compare with what the journal held."""
    undisturbed = await reference(program, seed=seed, streaming=streaming)
    for cut in range(2, len(undisturbed.journal) + 1):
        runtime = Runtime(endpoint_app(program), "Random", "run", b"", seed=seed, streaming=streaming)
        await runtime.run(cuts=[cut])
        errors = [attempt.error.message for attempt in runtime.attempts if attempt.error is not None]
        assert errors == [], f"cut after entry {cut}"
        before = runtime.journal[:cut]
        assert before == runtime.journal[: len(before)]


@settings(max_examples=40, deadline=None)
@given(program=programs(), seed=st.integers(0, 2**16), streaming=st.booleans())
def test_a_journal_cut_after_any_entry_replays(program: Program, seed: int, streaming: bool) -> None:
    """Whatever the handler does and wherever it is cut, the next attempt follows the journal and ends."""
    asyncio.run(check_every_cut(program, seed, streaming))


@settings(max_examples=40, deadline=None)
@given(program=programs(), seed=st.integers(0, 2**16))
def test_replay_of_a_complete_journal_writes_nothing_new(program: Program, seed: int) -> None:
    """A handler whose whole journal is recorded, Output included, only writes End again, with the same result."""

    async def main() -> None:
        first = await reference(program, seed=seed)
        again = Runtime(endpoint_app(program), "Random", "run", b"", seed=seed)
        again.journal = list(first.journal)
        attempt = await again.attempt()
        assert attempt.frames == [(0x0003, b"")], attempt.error

    asyncio.run(main())


@settings(max_examples=30, deadline=None)
@given(program=programs(), seed=st.integers(0, 2**16))
def test_cuts_at_many_places_of_one_run(program: Program, seed: int) -> None:
    """An invocation that is cut again and again, every few entries, ends with a consistent journal."""

    async def main() -> None:
        runtime = Runtime(endpoint_app(program), "Random", "run", b"", seed=seed)
        await runtime.run(cuts=list(range(2, 400, 3)), limit=500)
        assert [attempt.error for attempt in runtime.attempts if attempt.error] == []

    asyncio.run(main())


@pytest.mark.parametrize("streaming", [True, False])
def test_the_order_of_completions_decides_the_interleaving(streaming: bool) -> None:
    """Two orders of the same timers give two interleavings of the same tasks, each of which replays."""

    async def main() -> set[bytes]:
        program = Program(root=("group", (("sleeps", 2), ("sleeps", 2), ("sleeps", 2))))
        outcomes: set[bytes] = set()
        for seed in range(8):
            runtime = await reference(program, seed=seed, streaming=streaming)
            assert runtime.output is not None
            outcomes.add(runtime.output)
        return outcomes

    assert len(asyncio.run(main())) > 1
