"""The machine alone, beside the native core of restate-sdk: no event loop, no contexts, no serialization.

python -m bench.machine
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from restate.vm import DoProgressExecuteRun, SingleUnresolvedFuture, VMWrapper

from bench import frames
from bench.report import Claim, print_claims
from durably.machine import Machine, Progress
from durably.protocol.versions import ProtocolVersion

ROUNDS = 9
STEPS = 100
Run = Callable[[bytes, int], None]
_V6 = ProtocolVersion.V6
_HEADERS = [("content-type", frames.CONTENT_TYPE.decode())]
_FRESH = frames.journal(b"100")
_REPLAYED = frames.journal(b"100", STEPS)


def attempt(journal: bytes, steps: int) -> None:
    """Run one attempt of `steps` runs on the machine of durably, answering proposals at once."""
    machine = Machine(_V6)
    machine.receive_data(journal)
    machine.take_input()
    for _ in range(steps):
        handle = machine.sys_run("step")
        progress = machine.progress(handle)
        if progress is Progress.EXECUTE_RUN:
            machine.propose_run_success(machine.run_to_execute, b"1")
            machine.receive_data(_answer(machine.data_to_send()))
            progress = machine.progress(handle)
        if progress is not Progress.READY:
            raise RuntimeError(f"unexpected {progress}")
        machine.take(handle)
    machine.sys_output(b"100")
    machine.sys_end()
    machine.data_to_send()


def peer_attempt(journal: bytes, steps: int) -> None:
    """Run the same attempt on the core of restate-sdk."""
    vm = VMWrapper(_HEADERS)
    vm.notify_input(journal)
    vm.is_ready_to_execute()
    vm.sys_input()
    for _ in range(steps):
        handle = vm.sys_run("step").handle
        future: Any = SingleUnresolvedFuture(handle)
        progress = vm.do_progress(future)
        if isinstance(progress, DoProgressExecuteRun):
            vm.propose_run_completion_success(progress.handle, b"1")
            vm.notify_input(_answer(vm.take_output()))
            vm.do_progress(future)
        vm.take_notification(handle)
    vm.sys_write_output_success(b"100")
    vm.sys_end()
    vm.take_output()


_answers: dict[bytes, bytes] = {}


def _answer(output: bytes) -> bytes:
    output = bytes(output)
    answer = _answers.get(output)
    if answer is None:
        proposals = [payload for message_type, payload in frames.split_frames(output) if message_type == frames.PROPOSE]
        answer = b"".join(map(frames.run_completion_of, proposals))
        _answers[output] = answer
    return answer


def measure(run: Run, journal: bytes, steps: int, times: int) -> float:
    """Give the CPU time of one attempt, or of one of its steps, in seconds: the median of some rounds."""
    seen: list[float] = []
    run(journal, steps)
    for _ in range(ROUNDS):
        gc.collect()
        started = time.process_time()
        for _ in range(times):
            run(journal, steps)
        seen.append((time.process_time() - started) / times / max(steps, 1))
    return statistics.median(seen)


def claims() -> list[Claim]:
    """Measure an attempt without steps, a live step and a replayed one; the targets are in microseconds."""
    found: list[Claim] = []
    for what, journal, steps, times, target in (
        ("machine: an attempt without steps", _FRESH, 0, 3000, 8.0),
        ("machine: a live step", _FRESH, STEPS, 60, 6.0),
        ("machine: a replayed step", _REPLAYED, STEPS, 150, 2.0),
    ):
        ours, peer = measure(attempt, journal, steps, times), measure(peer_attempt, journal, steps, times)
        texts = (f"{ours * 1e6:.2f} µs", f"{peer * 1e6:.2f} µs")
        found.append(Claim(what, *texts, ratio=ours * 1e6, target=target, unit=" µs"))
    return found


def main() -> None:
    """Print the table."""
    print_claims("The machine alone", claims())


if __name__ == "__main__":
    main()
