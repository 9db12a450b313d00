"""The core that restate-sdk ships, as a player."""

from __future__ import annotations

from typing import Any

from restate._internal import (
    PyDoProgressAnyCompleted,
    PyDoProgressCancelSignalReceived,
    PyDoProgressExecuteRun,
    PyDoProgressWaitExternalProgress,
    PyExponentialRetryConfig,
    PyFailure,
    PyHeader,
    PyStateKeys,
    PySuspended,
    PyUnresolvedFuture,
    PyVM,
    PyVoid,
    VMException,
)

from durably.machine import Failure, Handle, Progress, Result
from durably.protocol.versions import ProtocolVersion, content_type_of
from tests.machine import programs as p
from tests.machine.players import Refused

_PROGRESS = {
    PyDoProgressAnyCompleted: Progress.READY,
    PyDoProgressCancelSignalReceived: Progress.CANCELLED,
    PyDoProgressExecuteRun: Progress.EXECUTE_RUN,
    PyDoProgressWaitExternalProgress: Progress.WAIT,
    PySuspended: Progress.SUSPENDED,
}


class PeerPlayer:
    """The peer's machine. It counts handles in its own way; compare their positions, never their values."""

    def __init__(self, version: ProtocolVersion, *, check_payloads: bool = True) -> None:
        self.vm: Any = PyVM([("content-type", content_type_of(version))], not check_payloads, False)

    def receive(self, data: bytes) -> None:
        self.vm.notify_input(data)
        if data:
            self._raise_if_failed()

    def receive_eof(self) -> None:
        self.vm.notify_input_closed()
        self._raise_if_failed()

    def output(self) -> bytes:
        return self.vm.take_output()

    def is_ready(self) -> bool:
        return self.vm.is_ready_to_execute()

    def is_replaying(self) -> bool:
        return self.vm.is_replaying()

    def take_input(self) -> tuple[object, ...]:
        call = _do(self.vm.sys_input)
        headers = tuple((header.key, header.value) for header in call.headers)
        return (
            call.invocation_id,
            call.key,
            headers,
            bytes(call.input),
            call.random_seed,
            call.scope,
            call.limit_key,
            call.idempotency_key,
        )

    def start(self, step: p.Step) -> tuple[list[Handle], str]:
        vm = self.vm
        match step:
            case p.Run(name):
                return [_do(vm.sys_run, name).handle], ""
            case p.Sleep(milliseconds, name):
                return [_do(vm.sys_sleep, milliseconds, name)], ""
            case p.Call():
                call = _do(
                    vm.sys_call,
                    step.service,
                    step.handler,
                    step.parameter,
                    step.key,
                    step.idempotency_key,
                    [PyHeader(key, value) for key, value in step.headers],
                    step.scope,
                    step.limit_key,
                )
                return [call.invocation_id_handle, call.result_handle], ""
            case p.Send():
                headers = [PyHeader(key, value) for key, value in step.headers]
                send = (step.service, step.handler, step.parameter, step.key, step.delay_ms, step.idempotency_key)
                return [_do(vm.sys_send, *send, headers)], ""
            case p.GetState(key):
                return [_do(vm.sys_get_state, key)], ""
            case p.GetKeys():
                return [_do(vm.sys_get_state_keys)], ""
            case p.Awakeable():
                text, handle = _do(vm.sys_awakeable)
                return [handle], text
            case p.NamedSignal(name):
                return [_do(vm.sys_signal, name)], ""
            case p.GetPromise(key):
                return [_do(vm.sys_get_promise, key)], ""
            case p.PeekPromise(key):
                return [_do(vm.sys_peek_promise, key)], ""
            case p.CompletePromise(key, bytes(value)):
                return [_do(vm.sys_complete_promise_success, key, value)], ""
            case p.CompletePromise(key, Failure() as failure):
                return [_do(vm.sys_complete_promise_failure, key, _failure(failure))], ""
            case p.Attach(target):
                return [_do(vm.attach_invocation, target)], ""
            case _:
                self._start_without_handle(step)
                return [], ""

    def _start_without_handle(self, step: p.Step) -> None:
        vm = self.vm
        match step:
            case p.SetState(key, value):
                _do(vm.sys_set_state, key, value)
            case p.ClearState(key):
                _do(vm.sys_clear_state, key)
            case p.ClearAll():
                _do(vm.sys_clear_all_state)
            case p.CompleteAwakeable(bytes(value), awakeable):
                _do(vm.sys_complete_awakeable_success, awakeable, value)
            case p.CompleteAwakeable(Failure() as failure, awakeable):
                _do(vm.sys_complete_awakeable_failure, awakeable, _failure(failure))
            case p.SendSignal(name, bytes(value), target):
                _do(vm.sys_complete_signal_success, target, name, value)
            case p.SendSignal(name, Failure() as failure, target):
                _do(vm.sys_complete_signal_failure, target, name, _failure(failure))
            case p.CancelOther(target):
                _do(vm.sys_cancel, target)
            case p.Return(bytes(value)):
                _do(vm.sys_write_output_success, value)
                _do(vm.sys_end)
            case p.Return(Failure() as failure):
                _do(vm.sys_write_output_failure, _failure(failure))
                _do(vm.sys_end)
            case _:
                raise AssertionError(f"{step} is no step of its own")

    def progress(self, tree: p.Tree | Handle) -> tuple[Progress, Handle | None]:
        answer = _do(self.vm.do_progress, _future(tree))
        return _PROGRESS[type(answer)], getattr(answer, "handle", None)

    def is_completed(self, handle: Handle) -> bool:
        return self.vm.is_completed(handle)

    def take(self, handle: Handle) -> Result:
        result = _do(self.vm.take_notification, handle)
        match result:
            case PyVoid():
                return None
            case PyStateKeys():
                return tuple(result.keys)
            case PyFailure():
                return Failure(result.code, result.message, tuple(result.metadata or ()))
            case bytes() | str():
                return result
            case _:
                raise AssertionError(f"unknown result {result!r}")

    def propose(self, handle: Handle, outcome: bytes | Failure | p.Transient) -> None:
        match outcome:
            case bytes():
                _do(self.vm.propose_run_completion_success, handle, outcome)
            case Failure():
                _do(self.vm.propose_run_completion_failure, handle, _failure(outcome))
            case p.Transient():
                if outcome.initial_interval_ms is None and outcome.max_attempts is None:
                    config = PyExponentialRetryConfig()
                else:
                    config = PyExponentialRetryConfig(
                        initial_interval=50 if outcome.initial_interval_ms is None else outcome.initial_interval_ms,
                        max_attempts=outcome.max_attempts,
                        max_interval=10_000,
                        factor=outcome.factor,
                    )
                failure = PyFailure(500, outcome.message)
                _do(
                    self.vm.propose_run_completion_failure_transient,
                    handle,
                    failure,
                    outcome.attempt_duration_ms,
                    config,
                )

    def end(self) -> None:
        _do(self.vm.sys_end)

    def fail(self, message: str, delay_ms: int | None) -> None:
        self.vm.notify_error(message, None, delay_ms)

    def _raise_if_failed(self) -> None:
        _do(self.vm.is_ready_to_execute)


def _do(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except VMException as error:
        raise Refused(str(error)) from error


def _failure(failure: Failure) -> Any:
    return PyFailure(failure.code, failure.message, None, list(failure.metadata) or None)


def _future(tree: p.Tree | Handle) -> Any:
    if not isinstance(tree, p.Tree):
        return PyUnresolvedFuture.single(tree)
    make = PyUnresolvedFuture.first_completed if tree.kind == "first" else PyUnresolvedFuture.all_completed
    return make([_future(child) for child in tree.children])
