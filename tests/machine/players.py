"""Making a machine play a program: one step at a time, answering with what can be observed."""

from __future__ import annotations

from typing import Protocol, assert_never

from durably.errors import ProtocolError
from durably.machine import (
    Combinator,
    Combined,
    Failure,
    Handle,
    Machine,
    MachineOptions,
    Progress,
    Result,
    RunRetryPolicy,
)
from durably.machine.waiting import AwaitTree
from durably.protocol.versions import ProtocolVersion
from tests.machine import programs as p

WAKE_UP_TIME_MS = 1_700_000_000_000


class Refused(Exception):
    """The machine raised an error of the protocol."""


class Player(Protocol):
    """A machine as the tests use it. Handles are whatever the machine uses."""

    def receive(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...
    def output(self) -> bytes: ...
    def is_ready(self) -> bool: ...
    def is_replaying(self) -> bool: ...
    def take_input(self) -> tuple[object, ...]: ...
    def start(self, step: p.Step) -> tuple[list[Handle], str]: ...
    def progress(self, tree: p.Tree | Handle) -> tuple[Progress, Handle | None]: ...
    def is_completed(self, handle: Handle) -> bool: ...
    def take(self, handle: Handle) -> Result: ...
    def propose(self, handle: Handle, outcome: bytes | Failure | p.Transient) -> None: ...
    def end(self) -> None: ...
    def fail(self, message: str, delay_ms: int | None) -> None: ...


class OurPlayer:
    """Durably's machine."""

    def __init__(self, version: ProtocolVersion, options: MachineOptions | None = None) -> None:
        self.machine = Machine(version, options or MachineOptions())

    def receive(self, data: bytes) -> None:
        try:
            self.machine.receive_data(data)
        except ProtocolError as error:
            raise Refused from error

    def receive_eof(self) -> None:
        try:
            self.machine.receive_eof()
        except ProtocolError as error:
            raise Refused from error

    def output(self) -> bytes:
        return self.machine.data_to_send()

    def is_ready(self) -> bool:
        return self.machine.is_ready_to_execute

    def is_replaying(self) -> bool:
        return self.machine.is_replaying

    def take_input(self) -> tuple[object, ...]:
        try:
            call = self.machine.take_input()
        except ProtocolError as error:
            raise Refused from error
        return (
            call.debug_id,
            call.key,
            call.headers,
            call.body,
            call.random_seed,
            call.scope,
            call.limit_key,
            call.idempotency_key,
        )

    def start(self, step: p.Step) -> tuple[list[Handle], str]:
        try:
            return self._start(step)
        except ProtocolError as error:
            raise Refused from error

    def _start(self, step: p.Step) -> tuple[list[Handle], str]:
        machine = self.machine
        handles: list[Handle] = []
        text = ""
        match step:
            case p.Run(name):
                handles.append(machine.sys_run(name))
            case p.Sleep(_, name):
                handles.append(machine.sys_sleep(WAKE_UP_TIME_MS, name))
            case p.Call():
                handles += machine.sys_call(
                    step.service,
                    step.handler,
                    step.parameter,
                    key=step.key,
                    idempotency_key=step.idempotency_key,
                    headers=step.headers,
                    scope=step.scope,
                    limit_key=step.limit_key,
                )
            case p.Send():
                handles.append(
                    machine.sys_send(
                        step.service,
                        step.handler,
                        step.parameter,
                        key=step.key,
                        idempotency_key=step.idempotency_key,
                        headers=step.headers,
                        invoke_time_ms=0 if step.delay_ms is None else WAKE_UP_TIME_MS,
                    )
                )
            case p.GetState(key):
                handles.append(machine.sys_get_state(key))
            case p.GetKeys():
                handles.append(machine.sys_get_state_keys())
            case p.SetState(key, value):
                machine.sys_set_state(key, value)
            case p.ClearState(key):
                machine.sys_clear_state(key)
            case p.ClearAll():
                machine.sys_clear_all_state()
            case p.Awakeable():
                text, handle = machine.sys_awakeable()
                handles.append(handle)
            case p.CompleteAwakeable(result, awakeable):
                machine.sys_complete_awakeable(awakeable, result)
            case p.NamedSignal(name):
                handles.append(machine.sys_signal(name))
            case p.SendSignal(name, result, target):
                machine.sys_send_signal(target, name, result)
            case p.CancelOther(target):
                machine.sys_cancel(target)
            case p.GetPromise(key):
                handles.append(machine.sys_get_promise(key))
            case p.PeekPromise(key):
                handles.append(machine.sys_peek_promise(key))
            case p.CompletePromise(key, result):
                handles.append(machine.sys_complete_promise(key, result))
            case p.Attach(target):
                handles.append(machine.sys_attach(target))
            case p.Return(result):
                machine.sys_output(result)
                machine.sys_end()
            case p.Await():
                raise AssertionError("an await is progress, not a step")
            case _:
                assert_never(step)
        return handles, text

    def progress(self, tree: p.Tree | Handle) -> tuple[Progress, Handle | None]:
        try:
            progress = self.machine.progress(combined(tree))
        except ProtocolError as error:
            raise Refused from error
        return progress, self.machine.run_to_execute if progress is Progress.EXECUTE_RUN else None

    def is_completed(self, handle: Handle) -> bool:
        return self.machine.is_completed(handle)

    def take(self, handle: Handle) -> Result:
        return self.machine.take(handle)

    def propose(self, handle: Handle, outcome: bytes | Failure | p.Transient) -> None:
        assert isinstance(handle, int)
        try:
            match outcome:
                case bytes():
                    self.machine.propose_run_success(handle, outcome)
                case Failure():
                    self.machine.propose_run_failure(handle, outcome)
                case p.Transient():
                    given_up = self.machine.propose_run_error(
                        handle,
                        message=outcome.message,
                        attempt_duration_ms=outcome.attempt_duration_ms,
                        policy=policy_of(outcome),
                    )
                    if not given_up:
                        raise Refused
        except ProtocolError as error:
            raise Refused from error

    def end(self) -> None:
        try:
            self.machine.sys_end()
        except ProtocolError as error:
            raise Refused from error

    def fail(self, message: str, delay_ms: int | None) -> None:
        self.machine.fail(message=message, next_retry_delay_ms=delay_ms)


def policy_of(outcome: p.Transient) -> RunRetryPolicy:
    """Give the policy that the Python SDK makes of the same limits."""
    if outcome.initial_interval_ms is None and outcome.max_attempts is None:
        return RunRetryPolicy.infinite()
    return RunRetryPolicy(
        initial_interval_ms=50 if outcome.initial_interval_ms is None else outcome.initial_interval_ms,
        factor=outcome.factor,
        max_interval_ms=10_000,
        max_attempts=outcome.max_attempts,
    )


def combined(tree: p.Tree | Handle) -> AwaitTree:
    """Give the await tree of a program's tree, whose leaves are handles by now."""
    if not isinstance(tree, p.Tree):
        return tree
    combinator = Combinator.FIRST_COMPLETED if tree.kind == "first" else Combinator.ALL_COMPLETED
    return Combined(combinator, tuple(combined(child) for child in tree.children))
