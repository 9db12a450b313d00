"""UserErrors: failures that handlers raise, and how they reach the caller."""

from __future__ import annotations

from typing import Any

from tests.conformance.suite.clients import InvocationFailedError
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

METADATA_SINCE = 6  # the protocol version; before it the attempt fails
METADATA = {"key1": "value1", "key2": "value2"}


def _fails(stage: Stage, handler: str, text: str, metadata: dict[str, str] | None) -> None:
    argument: dict[str, Any] = {"errorMessage": text}
    if metadata is not None:
        argument["metadata"] = metadata
    if metadata is not None and stage.column.setting.protocol_version < METADATA_SINCE:
        stage.is_unsupported(stage.ingress.send("Failing", stage.key(), "terminallyFailingCall", argument=argument))
        return
    try:
        result = stage.ingress.call("Failing", stage.key(), handler, argument=argument)
    except InvocationFailedError as failure:
        assert failure.status == 500, failure
        assert failure.message == text, failure
        assert failure.metadata == (metadata or {}), failure
    else:
        raise AssertionError(f"{handler} gave {result!r} instead of failing")


@scenario("UserErrors.invokeTerminallyFailingCall")
def invoke_terminally_failing_call(stage: Stage) -> None:
    """The caller gets the handler's terminal error."""
    _fails(stage, "terminallyFailingCall", "my error", None)


@scenario("UserErrors.failSeveralTimes")
def fail_several_times(stage: Stage) -> None:
    """Each call fails with its own message."""
    for number in range(3):
        _fails(stage, "terminallyFailingCall", f"my error {number}", None)


@scenario("UserErrors.internalCallFailurePropagation")
def internal_call_failure_propagation(stage: Stage) -> None:
    """The error of a callee reaches the outermost caller."""
    _fails(stage, "callTerminallyFailingCall", "callee's error", None)


@scenario("UserErrors.sideEffectWithTerminalError")
def side_effect_with_terminal_error(stage: Stage) -> None:
    """A terminal error inside a step fails the invocation."""
    _fails(stage, "terminallyFailingSideEffect", "step's error", None)


@scenario("UserErrors.invokeTerminallyFailingCallWithMetadata")
def invoke_terminally_failing_call_with_metadata(stage: Stage) -> None:
    """The caller gets the error's metadata."""
    _fails(stage, "terminallyFailingCall", "my error", METADATA)


@scenario("UserErrors.failSeveralTimesWithMetadata")
def fail_several_times_with_metadata(stage: Stage) -> None:
    """Each call fails with its own metadata."""
    for number in range(3):
        _fails(stage, "terminallyFailingCall", f"my error {number}", METADATA | {"number": str(number)})


@scenario("UserErrors.internalCallFailurePropagationWithMetadata")
def internal_call_failure_propagation_with_metadata(stage: Stage) -> None:
    """The metadata of a callee's error reaches the outermost caller."""
    _fails(stage, "callTerminallyFailingCall", "callee's error", METADATA)


@scenario("UserErrors.sideEffectWithTerminalErrorWithMetadata")
def side_effect_with_terminal_error_with_metadata(stage: Stage) -> None:
    """The metadata of a step's error is journaled with it and reaches the caller."""
    _fails(stage, "terminallyFailingSideEffect", "step's error", METADATA)


@scenario("UserErrors.setStateThenFailShouldPersistState")
def set_state_then_fail_should_persist_state(stage: Stage) -> None:
    """State that was written before a terminal error stays written."""
    key = stage.key()
    try:
        stage.ingress.call("Counter", key, "addThenFail", argument=1)
    except InvocationFailedError as failure:
        assert failure.message == key, failure
    else:
        raise AssertionError("addThenFail did not fail")
    assert stage.ingress.call("Counter", key, "get") == 1


@scenario("UserErrors.invocationWithEventualSuccess")
def invocation_with_eventual_success(stage: Stage) -> None:
    """An ordinary exception is retried: exactly three attempts fail and the fourth answers."""
    assert stage.ingress.call("Failing", stage.key(), "failingCallWithEventualSuccess") == 4
