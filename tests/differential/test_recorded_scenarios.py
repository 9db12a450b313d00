"""Chosen handlers, played on this machine and on the peer's core in lockstep: first run, every replay, suspended."""

from __future__ import annotations

import pytest

from durably.machine import Failure
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.differential.lockstep import Lockstep, play_to_the_end
from tests.machine import programs as p
from tests.machine.model import Model
from tests.machine.wire import V7, VERSIONS, entry, input_entry, run_done

SCENARIOS: dict[str, p.Program] = {
    "an input is returned": p.Program((p.Return(),)),
    "a failure is returned": p.Program((p.Return(Failure(402, "pay first")),)),
    "a step, then a sleep": p.Program(
        (p.Run("charge"), p.Await(0), p.Sleep(), p.Await(1), p.Return()), later=frozenset({2})
    ),
    "a step that fails for good": p.Program((p.Run("charge", Failure(500, "no")), p.Await(0), p.Return())),
    "steps that execute at once": p.Program(
        (p.Run("a"), p.Run("b"), p.Run("c"), p.Await(p.Tree("all", (0, 1, 2))), p.Return()), proposals_reversed=True
    ),
    "steps that race": p.Program((p.Run("a"), p.Run("b"), p.Await(p.Tree("first", (0, 1))), p.Await(1), p.Return())),
    "a step that is never awaited": p.Program((p.Run("a"), p.Run("b"), p.Await(1), p.Return())),
    "steps with long names and ids": p.Program(
        (*(p.Run(name) for name in ("", "é" * 63, "x" * 127, "x" * 128) * 40), p.Await(159), p.Return())
    ),
    "a race that the sleep wins": p.Program(
        (p.Call(), p.Sleep(), p.Await(p.Tree("first", (1, 2))), p.Await(1), p.Return()), later=frozenset({2})
    ),
    "combinations in combinations": p.Program(
        (
            *(p.Sleep() for _ in range(6)),
            p.Await(p.Tree("all", (p.Tree("first", (0, 1)), p.Tree("all", (2, p.Tree("first", (3, 4)))), 5))),
            p.Return(),
        ),
        later=frozenset({1, 3, 5}),
    ),
    "the same handle twice": p.Program(
        (p.Sleep(), p.Sleep(), p.Await(p.Tree("all", (0, 0, p.Tree("first", (0, 1))))), p.Return()),
        later=frozenset({1}),
    ),
    "empty combinations": p.Program((p.Sleep(), p.Await(p.Tree("all", (p.Tree("all", ()), 0))), p.Return())),
    "complete state": p.Program(
        (
            p.GetState("a"), p.GetState("gone"), p.SetState("b", b"2"), p.GetState("b"), p.GetKeys(), p.Await(4),
            p.ClearAll(), p.GetState("a"), p.GetKeys(), p.Await(5), p.Return(),
        ),
        state=(("a", b"1"),),
        partial=False,
    ),
    "partial state": p.Program(
        (
            p.GetState("a"), p.GetState("b"), p.Await(1), p.SetState("b", b"2"), p.GetState("b"), p.ClearState("a"),
            p.GetState("a"), p.GetKeys(), p.Await(4), p.ClearAll(), p.GetState("b"), p.GetKeys(), p.Return(),
        ),
        state=(("a", b"1"),),
        later=frozenset({2}),
    ),
    "promises": p.Program(
        (
            p.GetPromise("p"), p.PeekPromise("p"), p.CompletePromise("p", b"v"),
            p.CompletePromise("p", Failure(1, "f")), p.Await(p.Tree("all", (0, 1, 2, 3))), p.Return(),
        ),
        later=frozenset({1}),
        failing=frozenset({4}),
    ),
    "awakeables and signals": p.Program(
        (
            p.Awakeable(), p.Awakeable(), p.NamedSignal("go"), p.CompleteAwakeable(b"x"),
            p.CompleteAwakeable(Failure(1, "f")), p.SendSignal("go", b"x"), p.SendSignal("go", Failure(1, "f")),
            p.CancelOther(), p.Await(p.Tree("all", (0, 1, 2))), p.Return(),
        ),
        signals=((1, 17, b"a"), (2, "go", None), (5, 18, Failure(1, "f"))),
    ),
    "a signal that comes before it is awaited": p.Program(
        (p.Sleep(), p.Await(0), p.NamedSignal("go"), p.Await(1), p.Return()), signals=((1, "go", b"1"), (1, "go", b"2"))
    ),
    "a signal that never comes": p.Program((p.Awakeable(), p.Await(0), p.Return())),
    "calls with everything": p.Program(
        (
            p.Call("S", "h", b"", "k", "i", (("a", "1"), ("b", ""))),
            p.Send("S", "h", b"p", "k", 5, "i", (("a", "1"),)),
            p.Attach(), p.Await(0), p.Await(1), p.Await(2), p.Await(3), p.Return(),
        ),
        failing=frozenset({2}),
        later=frozenset({4}),
    ),
    "cancelled while sleeping": p.Program(
        (p.Sleep(), p.Await(0), p.Return()), later=frozenset({1}), signals=((1, 1, None),)
    ),
    "cancelled with children": p.Program(
        (p.Call(), p.Send(), p.Call(), p.Await(0), p.Await(p.Tree("all", (1, 4))), p.Return()),
        later=frozenset({2, 4, 5}),
        signals=((3, 1, None),),
    ),
    "cancelled twice, compensating each time": p.Program(
        (
            p.Call(), p.Await(0), p.Await(1), p.Run("undo"), p.Await(2), p.Call(), p.Await(4), p.Sleep(), p.Await(5),
            p.Return(),
        ),
        later=frozenset({2, 5}),
        signals=((1, 1, None), (4, 1, None)),
        compensates=True,
    ),
    "cancelled before a child is known": p.Program(
        (p.Call(), p.Call(), p.Await(1), p.Return()), later=frozenset({1, 2, 3, 4}), signals=((2, 1, None),)
    ),
    "cancelled where the result is there too": p.Program(
        (p.Sleep(), p.Await(0), p.Sleep(), p.Await(0), p.Await(1), p.Return()), signals=((1, 1, None),)
    ),
    "cancelled and never awaiting": p.Program((p.SetState("a", b"1"), p.Return()), signals=((0, 1, None),)),
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_runs_alike(name: str, version: ProtocolVersion):
    """Streaming and request-response, to the end and cut off after every journal entry, the frames are the same."""
    program = SCENARIOS[name]
    for eof in (False, True):
        journal = play_to_the_end(program, version, eof=eof)
        for cut in range(1, len(journal) + 1, 1 + len(journal) // 60):
            for cut_eof in (False, True):
                Lockstep(program, Model(program, version, journal[:cut]), eof=cut_eof).play()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_do_not_matter(chunk: int, version: ProtocolVersion):
    """The journal in pieces of any size gives the same frames."""
    play_to_the_end(SCENARIOS["calls with everything"], version, eof=True, chunk=chunk)


def test_scopes_run_alike():
    """Calls within a scope, with a limit key, are the same in V7."""
    call = p.Call(scope="tenant", limit_key="limit", idempotency_key="i")
    journal = play_to_the_end(p.Program((call, p.Await(1), p.Return())), V7, eof=False)
    assert len(journal) == 5
    Lockstep(p.Program((call, p.Return())), Model(p.Program(()), V7, journal[:2])).play()


REFUSED: dict[str, p.Step] = {
    "an empty idempotency key": p.Call(idempotency_key=""),
    "an empty scope": p.Call(scope=""),
    "an empty limit key": p.Call(limit_key=""),
    "a scope": p.Call(scope="s"),
    "a limit key": p.Call(scope="s", limit_key="l"),
    "metadata of a failure": p.Return(Failure(1, "f", (("a", "b"),))),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", REFUSED)
def test_arguments_are_refused_alike(name: str, version: ProtocolVersion):
    """Empty keys, and what the version does not have, end the attempt with the same Error."""
    program = p.Program((REFUSED[name], p.Return()))
    Lockstep(program, Model(program, version)).play()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("retries", [0, 1, 2, 5])
@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("max_attempts", [None, 0, 1, 2, 3, 6])
@pytest.mark.parametrize("interval", [None, 70])
def test_failed_steps_are_retried_alike(
    version: ProtocolVersion, retries: int, replayed: bool, max_attempts: int | None, interval: int | None
):
    """Delay and exhaustion are the same for a new step and for one that was recorded with failures since."""
    outcome = p.Transient(initial_interval_ms=interval, max_attempts=max_attempts, attempt_duration_ms=10)
    program = p.Program(
        (p.Run("flaky", outcome), p.Await(0), p.Return()),
        start_fields={"retry_count_since_last_stored_entry": retries, "duration_since_last_stored_entry": 900},
    )
    stored = [entry(MessageType.RUN, result_completion_id=1, name="flaky")] if replayed else []
    Lockstep(program, Model(program, version, [input_entry(), *stored])).play()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_step_after_a_new_command_starts_counting_again(version: ProtocolVersion):
    """The counters of Start say nothing about a recorded step once something new was recorded."""
    program = p.Program(
        (p.Run("flaky", p.Transient(max_attempts=2)), p.SetState("a", b"1"), p.Await(0), p.Return()),
        start_fields={"retry_count_since_last_stored_entry": 7},
    )
    stored = [entry(MessageType.RUN, result_completion_id=1, name="flaky")]
    model = Model(program, version, [input_entry(), *stored])
    Lockstep(program, model).play()
    assert model.ended is MessageType.ERROR


@pytest.mark.parametrize("version", VERSIONS)
def test_payload_checks_can_be_switched_off_alike(version: ProtocolVersion):
    """Without payload checks the same commands with other payloads are accepted, and other fields are not."""
    old = p.Program(
        (p.Call(parameter=b"1"), p.Send(parameter=b"1"), p.SetState("a", b"1"), p.CompleteAwakeable(b"1"),
         p.CompletePromise("p", b"1"), p.Return(b"1"))
    )  # fmt: skip
    new = p.Program(
        (p.Call(parameter=b"2"), p.Send(parameter=b""), p.SetState("a", b""), p.CompleteAwakeable(b"2"),
         p.CompletePromise("p", b"2"), p.Return(b"2"))
    )  # fmt: skip
    journal = play_to_the_end(old, version, eof=False)
    model = Model(new, version, journal)
    Lockstep(new, model, check_payloads=False).play()
    assert model.ended is MessageType.END
    for at, step in enumerate(new.steps):
        changed = p.Program((*old.steps[:at], step, *old.steps[at + 1 :]))
        model = Model(changed, version, journal)
        Lockstep(changed, model).play()
        assert model.ended is MessageType.ERROR
    other = p.Program((*new.steps[:-1], p.Return(Failure(1, "f"))))
    model = Model(other, version, journal)
    Lockstep(other, model, check_payloads=False).play()
    assert model.ended is MessageType.ERROR


@pytest.mark.parametrize("version", VERSIONS)
def test_attempts_fail_alike(version: ProtocolVersion):
    """A failure of the handler, with and without a delay, is the same Error."""
    for delay_ms in (None, 0, 5000):
        program = p.Program((p.Run("a"), p.Await(0), p.Return()))
        lockstep = Lockstep(program, Model(program, version, [input_entry(), *_recorded_step()]))
        lockstep.fail_with("boom", delay_ms)
        assert lockstep.model.ended is MessageType.ERROR


def _recorded_step():
    return [entry(MessageType.RUN, result_completion_id=1, name="a"), run_done(1)]
