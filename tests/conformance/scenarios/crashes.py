"""KillRuntime, StopRuntime, SleepWithFailures and ServiceCrash: processes that die in the middle."""

from __future__ import annotations

import time

from tests.conformance.scenarios.combinators import sleep, submit
from tests.conformance.suite.registry import Lane, scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

CRASH_AFTER_SECONDS = 1.5
# A busy machine may crash a service later than it was told to: then once more, with more time.
SLEEP_SECONDS = (4.0, 8.0, 16.0)
SLOW_STEP_MS = (600, 2400, 9600)
DEPTH = 3


@scenario("KillRuntime.startAndKillRuntimeRetainsTheState", lane=Lane.ALONE, seconds=60)
def start_and_kill_runtime_retains_the_state(stage: Stage) -> None:
    """State and registrations survive a killed server."""
    _state_survives(stage, graceful=False)


@scenario("StopRuntime.startAndStopRuntimeRetainsTheState", lane=Lane.ALONE, seconds=60)
def start_and_stop_runtime_retains_the_state(stage: Stage) -> None:
    """State and registrations survive a server that is stopped and started."""
    _state_survives(stage, graceful=True)


def _state_survives(stage: Stage, *, graceful: bool) -> None:
    key, idempotency_key = stage.key(), stage.key()
    assert stage.ingress.call("Counter", key, "add", argument=1) == {"oldValue": 0, "newValue": 1}
    if graceful:
        stage.pair.server.terminate()
    else:
        stage.pair.server.kill()
    stage.pair.server.start()
    answer = stage.poll(
        lambda: stage.ingress.call("Counter", key, "add", argument=2, idempotency_key=idempotency_key),
        what="the server that was started again answers",
    )
    assert answer == {"oldValue": 1, "newValue": 3}


@scenario("SleepWithFailures.sleepAndKillServiceEndpoint", lane=Lane.ALONE, seconds=60)
def sleep_and_kill_service_endpoint(stage: Stage) -> None:
    """A sleep outlives the service process that is killed in the middle of it."""
    _sleep_survives(stage, graceful=False)


@scenario("SleepWithFailures.sleepAndTerminateServiceEndpoint", lane=Lane.ALONE, seconds=60)
def sleep_and_terminate_service_endpoint(stage: Stage) -> None:
    """A sleep outlives the service process that is terminated in the middle of it, and the process does stop."""
    _sleep_survives(stage, graceful=True)


def _sleep_survives(stage: Stage, *, graceful: bool) -> None:
    assert any(_crash_while_asleep(stage, seconds, graceful=graceful) for seconds in SLEEP_SECONDS), (
        "the service must die while the invocation sleeps"
    )


def _crash_while_asleep(stage: Stage, seconds: float, *, graceful: bool) -> bool:
    """Let an invocation sleep and its service die, and look at the result; False if the service died too late."""
    begun = time.monotonic()
    command = {"type": "awaitOne", "command": sleep(int(seconds * 1000))}
    target = submit(stage, stage.key(), command).invocation_id
    stage.poll(
        lambda: stage.admin.query(
            f"select id from sys_journal where id = '{target}' and entry_type = 'Command: Sleep'"
        ),
        what="the sleep is stored",
    )
    time.sleep(max(0.0, CRASH_AFTER_SECONDS - stage.elapsed_since(begun)))
    if graceful:
        stage.pair.service.terminate()
    else:
        stage.pair.service.kill()
    was_asleep = stage.elapsed_since(begun) < seconds
    stage.pair.service.start()
    assert stage.ingress.attach(target) == "sleep"
    assert stage.elapsed_since(begun) >= seconds
    return was_asleep


@scenario("ServiceCrash.killDuringRun", lane=Lane.ALONE, seconds=60)
def kill_during_run(stage: Stage) -> None:
    """After a crash in a step, the step before it is not executed again, and the interrupted one is."""
    assert any(_crash_in_step(stage, slow_ms) for slow_ms in SLOW_STEP_MS), (
        "the first step ran before the crash, the second one after it"
    )


def _crash_in_step(stage: Stage, slow_ms: int) -> bool:
    """Let a service die in the second of two steps, and look at the first; False if it died after both."""
    key = stage.key()
    target = stage.ingress.send("CrashProbe", key, "twoSteps", argument=slow_ms).invocation_id
    stage.poll(lambda: stage.ingress.call("CrashProbe", key, "slowStepsBegun"), what="the slow step has begun")
    stage.pair.crash_service()
    first, second = stage.ingress.attach(target)
    if first == second:
        return False
    assert stage.ingress.call("CrashProbe", key, "slowStepsBegun") == 1
    return True


@scenario("ServiceCrash.killDuringCallTree", lane=Lane.ALONE, seconds=60)
def kill_during_call_tree(stage: Stage) -> None:
    """After a crash below a chain of calls, every level goes on where it was and repeats nothing."""
    key = stage.key()
    target = stage.ingress.send("CrashProbe", key, "descend", argument=DEPTH).invocation_id
    stage.poll(lambda: stage.ingress.call("AwakeableHolder", key, "hasAwakeable"), what="the lowest level waits")
    stage.pair.crash_service()
    stage.ingress.call("AwakeableHolder", key, "unlock", argument="go on")
    levels = stage.ingress.attach(target)
    assert len(levels) == DEPTH + 1
    before, after = {level["before"] for level in levels}, {level["after"] for level in levels}
    assert len(before) == len(after) == 1, levels
    assert before != after, levels
