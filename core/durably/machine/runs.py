"""Durable steps: journaled, executed by the host, and what becomes of their results.

    not recorded:  sys_run -> waiting -> executing -> proposed -> ready
    recorded:      sys_run -> ready

1. `sys_run` journals the command. A step whose completion was recorded is never executed again.
2. When it is awaited and nothing else can be delivered, `progress` hands it out once (EXECUTE_RUN).
3. Its result is proposed to the runtime and becomes visible only where the runtime puts it among the
   notifications, so that replay sees the same order: in V5 and V6 as a notification with the result,
   in V7 as an acknowledgement, for the result that is kept here.
4. A failure that may be retried proposes nothing: it ends the attempt (see `retries`), unless the
   policy gives up.

Source: service protocol, RunCommand, ProposeRunCompletion, ProposeRunCompletionAck.
"""

from __future__ import annotations

from typing import Final, assert_never

from durably.errors import CommandInfo, LocalProtocolError
from durably.machine.journal import Journal
from durably.machine.options import ErrorBehavior
from durably.machine.retries import FailAsTerminal, OnExhausted, PauseInvocation, RetryLater, RunRetryPolicy
from durably.machine.states import State
from durably.machine.values import Failure
from durably.protocol import messages
from durably.protocol.messages import REQUESTED_ACK, MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["Runs"]

_RUN: Final = int(MessageType.RUN)
_PROPOSE: Final = int(MessageType.PROPOSE_RUN_COMPLETION)


class Runs(Journal):
    """Operations on durable steps; see `Machine`."""

    __slots__ = ()

    def sys_run(self, name: str = "") -> int:
        """Journal a durable step, then await the handle: bytes or a failure.

        Do not execute it yet: `progress` says when (EXECUTE_RUN), and never does for a step whose
        completion is recorded.

        Args:
            name: Name of the step.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        label = name.encode()
        size = len(label)
        # The most frequent command, written by hand: four times faster than the general serializer.
        if 0 < size < 128 and handle < 16384:
            if handle < 128:
                payload = b"X%cb%c%b" % (handle, size, label)
            else:
                payload = b"X%c%cb%c%b" % (handle & 127 | 128, handle >> 7, size, label)
        else:
            payload = messages.RunCommand(result_completion_id=handle, name=name).SerializeToString()
        self._journal(_RUN, name, payload)
        self._next_completion = handle + 1
        if handle not in self._received_ids:
            self._waiting_runs[handle] = (self._command_index, name)
        return handle

    def run_is_recorded(self, handle: int) -> bool:
        """Tell whether the step's completion has arrived, read or not. If so, do not execute it."""
        return handle in self._received_ids

    def take_run_back(self, handle: int) -> None:
        """Say that the execution of a step was interrupted: the next await that reaches it hands it out again.

        Args:
            handle: A step that `progress` handed out.
        """
        interrupted = self._executing_runs.pop(handle, None)
        if interrupted is not None:
            self._waiting_runs[handle] = interrupted

    def propose_run_success(self, handle: int, value: bytes) -> None:
        """Offer a step's result to the runtime, then send `data_to_send()` and go on waiting.

        Ignored while replaying and when closed: the step will be executed again.

        Args:
            handle: The step, as `sys_run` gave it.
            value: Its result, serialized.

        Raises:
            LocalProtocolError: No such step waits for a result. The attempt has failed.
        """
        if self._state is State.PROCESSING:
            self._find_run(handle)
            size = len(value)
            if handle < 128 and size < 128:  # written by hand, as in `sys_run`
                payload = b"\x08%cr%c%b" % (handle, size, value)
            else:
                payload = messages.ProposeRunCompletion(result_completion_id=handle, value=value).SerializeToString()
            self._propose(handle, value, payload)

    def propose_run_failure(self, handle: int, failure: Failure) -> None:
        """Offer a step's terminal failure to the runtime, then send `data_to_send()` and go on waiting.

        Ignored while replaying and when closed: the step will be executed again.

        Args:
            handle: The step, as `sys_run` gave it.
            failure: What it failed with.

        Raises:
            UnsupportedFeatureError: The failure has metadata and the protocol version has none.
            LocalProtocolError: No such step waits for a result. The attempt has failed.
        """
        if self._state is State.PROCESSING:
            self._find_run(handle)
            message = messages.ProposeRunCompletion(result_completion_id=handle, failure=self._failure(failure))
            self._propose(handle, failure, message.SerializeToString())

    def propose_run_error(
        self,
        handle: int,
        *,
        code: int = 500,
        message: str,
        stacktrace: str = "",
        attempt_duration_ms: int,
        policy: RunRetryPolicy,
        retry_after_ms: int | None = None,
    ) -> bool:
        """Report a failure of a step that may be retried, then send `data_to_send()`.

        Ignored while replaying and when closed: the step will be executed again.

        Args:
            handle: The step, as `sys_run` gave it.
            code: Code of the failure.
            message: Text for operators, or for the caller once retries ran out.
            stacktrace: Where it happened.
            attempt_duration_ms: How long this execution took, in milliseconds.
            policy: How the step is retried.
            retry_after_ms: Milliseconds until the next attempt instead of what `policy` says, or None.

        Returns:
            True when the policy gave up and a terminal failure was proposed: go on waiting. False
            when the attempt ended, or had ended: abandon the handler.

        Raises:
            UnsupportedFeatureError: The policy pauses, and the protocol version cannot.
            LocalProtocolError: No such step waits for a result. The attempt has failed.
        """
        if self._state is not State.PROCESSING:
            return False
        if policy.on_exhausted is OnExhausted.PAUSE:
            self._need(ProtocolVersion.V7, "Pausing when retries run out")
        index, name = self._find_run(handle)
        failures, elapsed_ms = self._failures_before()
        decision = policy.decide(
            failures=failures + 1, elapsed_ms=elapsed_ms + attempt_duration_ms, retry_after_ms=retry_after_ms
        )
        command = CommandInfo(index, _RUN, name)
        match decision:
            case RetryLater(delay_ms):
                self.fail(
                    code=code, message=message, stacktrace=stacktrace, next_retry_delay_ms=delay_ms, command=command
                )
            case PauseInvocation():
                self.fail(
                    code=code, message=message, stacktrace=stacktrace, command=command, behavior=ErrorBehavior.PAUSE
                )
            case FailAsTerminal():
                self.propose_run_failure(handle, Failure(code, message))
                return True
            case _:
                assert_never(decision)
        return False

    def _propose(self, handle: int, result: bytes | Failure, payload: bytes) -> None:
        if self._executing_runs.pop(handle, None) is None:
            del self._waiting_runs[handle]
        flags = 0
        if self.version >= ProtocolVersion.V7:
            self._proposed_runs[handle] = result
            flags = REQUESTED_ACK
        self._send(_PROPOSE, payload, flags)

    def _find_run(self, handle: int) -> tuple[int, str]:
        """Give index and name of the command of a step that has no result yet; fail the attempt for any other."""
        command = self._executing_runs.get(handle) or self._waiting_runs.get(handle)
        if command is None:
            self._die(LocalProtocolError(f"A result was proposed for {handle}, which is no step that waits for one."))
        return command

    def _failures_before(self) -> tuple[int, int]:
        """How often the last recorded command has failed before this attempt, and for how many milliseconds."""
        start = self._start_message()
        failures = start.retry_count_since_last_stored_entry
        if not self._first_entry or not failures:
            # Without failures the duration is how long the invocation waited for something else.
            return 0, 0
        return failures, start.duration_since_last_stored_entry
