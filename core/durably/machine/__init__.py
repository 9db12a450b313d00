"""One attempt of one invocation as a state machine: bytes in, bytes and decisions out.

Owns the order of messages, the journal's replay, what an await may do next and when an attempt
ends. It does no input or output, reads no clock and starts nothing: a driver moves the bytes,
executes durable steps and waits.

    machine = Machine(version)
    machine.receive_data(chunk)            # until machine.is_ready_to_execute
    call = machine.take_input()            # then run the handler, which calls machine.sys_…
    machine.progress(tree)                 # at each await of the handler; see `Progress`
    transport.write(machine.data_to_send())  # before each wait and at the end
"""

from __future__ import annotations

from durably.machine.invocation import Machine
from durably.machine.options import AwaitingOnPolicy, ErrorBehavior, MachineOptions, MismatchPolicy
from durably.machine.retries import OnExhausted, RunRetryPolicy
from durably.machine.states import State
from durably.machine.values import (
    CANCEL,
    Failure,
    Handle,
    IdempotentTarget,
    InvocationInput,
    Progress,
    Result,
    Target,
    WorkflowTarget,
)
from durably.machine.waiting import AwaitTree, Combinator, Combined

__all__ = [
    "CANCEL",
    "AwaitTree",
    "AwaitingOnPolicy",
    "Combinator",
    "Combined",
    "ErrorBehavior",
    "Failure",
    "Handle",
    "IdempotentTarget",
    "InvocationInput",
    "Machine",
    "MachineOptions",
    "MismatchPolicy",
    "OnExhausted",
    "Progress",
    "Result",
    "RunRetryPolicy",
    "State",
    "Target",
    "WorkflowTarget",
]
