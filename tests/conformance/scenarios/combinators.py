"""Combinators and Signals: waiting for several things at once."""

from __future__ import annotations

from typing import Any

from tests.conformance.suite.clients import InvocationFailedError, Submission
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

INTERPRETER = "VirtualObjectCommandInterpreter"


def interpret(stage: Stage, key: str, *commands: dict[str, Any]) -> Any:
    """Let the interpreter execute commands and give the last one's result."""
    return stage.ingress.call(INTERPRETER, key, "interpretCommands", argument={"commands": list(commands)})


def submit(stage: Stage, key: str, *commands: dict[str, Any]) -> Submission:
    """Let the interpreter execute commands without waiting for it."""
    return stage.ingress.send(INTERPRETER, key, "interpretCommands", argument={"commands": list(commands)})


def awakeable(key: str) -> dict[str, Any]:
    """Make the command for an awakeable."""
    return {"type": "createAwakeable", "awakeableKey": key}


def signal(name: str) -> dict[str, Any]:
    """Make the command for a named signal."""
    return {"type": "createSignal", "signalName": name}


def sleep(duration_ms: int) -> dict[str, Any]:
    """Make the command for a timer."""
    return {"type": "sleep", "timeoutMillis": duration_ms}


def returning(value: str) -> dict[str, Any]:
    """Make the command for a step that returns."""
    return {"type": "runReturns", "value": value}


def raising(reason: str) -> dict[str, Any]:
    """Make the command for a step that fails for good."""
    return {"type": "runThrowTerminalException", "reason": reason}


def await_(how: str, *commands: dict[str, Any]) -> dict[str, Any]:
    """Make the command that awaits others in a certain way."""
    return {"type": how, "commands": list(commands)}


def resolve(stage: Stage, invocation_id: str, name: str, value: str) -> None:
    """Send a signal with a value from another handler."""
    signal_value = {"invocationId": invocation_id, "signalName": name, "value": value}
    stage.ingress.call("TestUtilsService", "resolveSignal", argument=signal_value)


def reject(stage: Stage, invocation_id: str, name: str, reason: str) -> None:
    """Send a signal with a failure from another handler."""
    failure = {"invocationId": invocation_id, "signalName": name, "reason": reason}
    stage.ingress.call("TestUtilsService", "rejectSignal", argument=failure)


def fails_with(stage: Stage, invocation_id: str, text: str) -> None:
    """Require that an invocation fails with a message that contains the text."""
    try:
        result = stage.ingress.attach(invocation_id)
    except InvocationFailedError as failure:
        assert text in failure.message, failure
    else:
        raise AssertionError(f"Expected a failure with {text!r}, got {result!r}")


@scenario("Combinators.awakeableOrTimeoutUsingAwaitAny")
def awakeable_or_timeout_using_await_any(stage: Stage) -> None:
    """A timer beats an awakeable that nobody completes."""
    key = stage.key()
    assert interpret(stage, key, await_("awaitAny", awakeable("awk1"), sleep(100))) == "sleep"
    assert stage.ingress.call(INTERPRETER, key, "getResults") == ["sleep"]


@scenario("Combinators.awakeableOrTimeoutUsingAwakeableTimeoutCommand")
def awakeable_or_timeout_using_awakeable_timeout_command(stage: Stage) -> None:
    """Selecting between an awakeable and a timer picks the timer, and the handler fails for good."""
    command = {"type": "awaitAwakeableOrTimeout", "awakeableKey": "should-timeout-awk", "timeoutMillis": 100}
    fails_with(stage, submit(stage, stage.key(), command).invocation_id, "await-timeout")


@scenario("Combinators.firstSuccessfulCompletedAwakeable")
def first_successful_completed_awakeable(stage: Stage) -> None:
    """Failures do not settle a wait for the first success."""
    key = stage.key()
    commands = [each for n in range(3) for each in (awakeable(f"awk{n}"), raising(f"run{n}"))]
    submission = submit(stage, key, await_("awaitAnySuccessful", *commands))
    for name in ("awk2", "awk0", "awk1"):
        stage.poll(
            lambda name=name: stage.ingress.call(INTERPRETER, key, "hasAwakeable", argument=name),
            what=f"{name} exists",
        )
    stage.ingress.call(INTERPRETER, key, "rejectAwakeable", argument={"awakeableKey": "awk2", "reason": "fail"})
    resolution = {"type": "resolveAwakeable", "awakeableKey": "awk1", "value": "awk1-result"}
    stage.ingress.call(INTERPRETER, key, "resolveAwakeable", argument=resolution)
    assert stage.ingress.attach(submission.invocation_id) == "awk1-result"


@scenario("Combinators.signalFirstSuccessfulOrAllFailed")
def signal_first_successful_or_all_failed(stage: Stage) -> None:
    """Rejected signals do not settle a wait for the first success; the resolved one does."""
    wait_for = await_("awaitAnySuccessful", *(signal(f"sig{n}") for n in range(3)))
    target = submit(stage, stage.key(), wait_for).invocation_id
    reject(stage, target, "sig0", "fail0")
    reject(stage, target, "sig2", "fail2")
    resolve(stage, target, "sig1", "success1")
    assert stage.ingress.attach(target) == "success1"


@scenario("Combinators.signalAllSuccessfulOrFirstFailed")
def signal_all_successful_or_first_failed(stage: Stage) -> None:
    """Results keep the order of the wait, not that of their arrival."""
    wait_for = await_("awaitAllSucceededOrFirstFailed", *(signal(f"sig{n}") for n in range(3)))
    target = submit(stage, stage.key(), wait_for).invocation_id
    for number in (2, 0, 1):
        resolve(stage, target, f"sig{number}", f"val{number}")
    assert stage.ingress.attach(target) == "val0|val1|val2"


@scenario("Combinators.signalAllCompleted")
def signal_all_completed(stage: Stage) -> None:
    """A wait for all outcomes takes failures as outcomes."""
    target = submit(
        stage, stage.key(), await_("awaitAllCompleted", *(signal(f"sig{n}") for n in range(3)))
    ).invocation_id
    resolve(stage, target, "sig0", "val0")
    reject(stage, target, "sig1", "err1")
    resolve(stage, target, "sig2", "val2")
    assert stage.ingress.attach(target) == "ok:val0|err:err1|ok:val2"


@scenario("Combinators.signalFirstCompleted")
def signal_first_completed(stage: Stage) -> None:
    """The first signal that arrives settles the wait."""
    target = submit(stage, stage.key(), await_("awaitAny", *(signal(f"sig{n}") for n in range(3)))).invocation_id
    resolve(stage, target, "sig1", "first")
    assert stage.ingress.attach(target) == "first"


@scenario("Combinators.mixedRunWinsRaceAgainstSignal")
def mixed_run_wins_race_against_signal(stage: Stage) -> None:
    """A step is executed and settles the wait although a signal never comes."""
    assert interpret(stage, stage.key(), await_("awaitFirstCompleted", signal("sig"), returning("runval"))) == "runval"


@scenario("Combinators.mixedSignalWinsAfterRunFails")
def mixed_signal_wins_after_run_fails(stage: Stage) -> None:
    """After the step failed the wait goes on for the signal."""
    wait_for = await_("awaitFirstSucceededOrAllFailed", raising("fail"), signal("sig"))
    target = submit(stage, stage.key(), wait_for).invocation_id
    resolve(stage, target, "sig", "sigval")
    assert stage.ingress.attach(target) == "sigval"


@scenario("Combinators.mixedAllSucceededRunAndSignal")
def mixed_all_succeeded_run_and_signal(stage: Stage) -> None:
    """A step and a signal both succeed."""
    wait_for = await_("awaitAllSucceededOrFirstFailed", returning("runval"), signal("sig"))
    target = submit(stage, stage.key(), wait_for).invocation_id
    resolve(stage, target, "sig", "sigval")
    assert stage.ingress.attach(target) == "runval|sigval"


@scenario("Combinators.mixedAllCompletedRunSignalAndFailedRun")
def mixed_all_completed_run_signal_and_failed_run(stage: Stage) -> None:
    """A step, a signal and a failed step all have an outcome."""
    target = submit(
        stage, stage.key(), await_("awaitAllCompleted", returning("runval"), signal("sig"), raising("fail"))
    ).invocation_id
    resolve(stage, target, "sig", "sigval")
    assert stage.ingress.attach(target) == "ok:runval|ok:sigval|err:fail"


@scenario("Signals.resolve")
def resolve_a_signal(stage: Stage) -> None:
    """A signal that may arrive before the wait begins settles it."""
    target = submit(stage, stage.key(), {"type": "awaitOne", "command": signal("mysignal")}).invocation_id
    resolve(stage, target, "mysignal", "hello")
    assert stage.ingress.attach(target) == "hello"


@scenario("Signals.reject")
def reject_a_signal(stage: Stage) -> None:
    """A rejected signal raises its reason in the handler."""
    target = submit(stage, stage.key(), {"type": "awaitOne", "command": signal("mysignal")}).invocation_id
    reject(stage, target, "mysignal", "boom")
    fails_with(stage, target, "boom")
