"""What the runtime knows of one invocation: its journal, its state, and what is still to come.

Owns the answers to what a handler writes. Knows nothing of connections and attempts.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from durably.protocol import messages as wire
from durably.protocol.ids import parse_awakeable_id
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["DEBUG_ID", "INVOCATION", "Entry", "Journal", "Rejected"]

INVOCATION = bytes(range(24))
DEBUG_ID = "inv_1model"

Entry = tuple[int, bytes]
"""Message type and payload."""


class Rejected(Exception):
    """Raised by `on_call`: the callee failed terminally."""

    def __init__(self, code: int, message: str) -> None:
        """Say what the caller gets."""
        super().__init__(message)
        self.failure = wire.Failure(code=code, message=message)


class Journal:
    """The journal of one invocation and what belongs to it.

    Attributes:
        journal: Entries, Input first.
        pending: Notifications that will arrive some time.
        calls: What was called, as (service, handler, parameter).
        call_commands: The same as whole messages, calls and one-way calls.
        signals: What was sent to other invocations, as messages.
        awakeables: What was completed, as messages.
        state: State of the object, as it is now; None where there is no state.
        promises: Promises of the workflow that are completed: a value, or a failure.
        outputs: Results of other invocations, by invocation id, workflow key or idempotency key.
        output: The result, once there is one.
        failure: The terminal failure, once there is one.
    """

    def __init__(
        self,
        body: bytes,
        version: ProtocolVersion,
        seed: int | None,
        state: dict[str, bytes] | None,
        on_call: Callable[[str, str, bytes], bytes | None],
    ) -> None:
        """Begin with Input."""
        self.version = version
        self.journal: list[Entry] = [
            (MessageType.INPUT, wire.InputCommand(value=wire.Value(content=body)).SerializeToString())
        ]
        self.pending: list[Entry] = []
        self.calls: list[tuple[str, str, bytes]] = []
        self.call_commands: list[Any] = []
        self.signals: list[Any] = []
        self.awakeables: list[Any] = []
        self.state = state
        self.promises: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.on_call = on_call
        self.output: bytes | None = None
        self.failure: Any = None
        self.random = None if seed is None else Random(seed)
        self._waiting_promises: list[tuple[str, int]] = []

    # What arrives from elsewhere

    def signal(self, *, index: int | None = None, name: str | None = None, value: bytes | None = None) -> None:
        """Let a signal arrive, some time."""
        self.pending.append(signal(index=index, name=name, value=value))

    def cancel(self) -> None:
        """Let the invocation be cancelled, some time."""
        self.signal(index=1)

    def complete_one(self) -> Entry | None:
        """Let one of the pending notifications arrive."""
        if not self.pending:
            return None
        index = 0 if self.random is None else self.random.randrange(len(self.pending))
        entry = self.pending.pop(index)
        self.journal.append(entry)
        return entry

    # What the handler writes

    def accept(self, kind: int, payload: bytes) -> list[Entry]:
        """Take a command or a proposal; give what is answered at once."""
        if kind == MessageType.PROPOSE_RUN_COMPLETION:
            return [self._run_completion(payload)]
        self.journal.append((kind, payload))
        name = MessageType(kind).name.lower()
        take = getattr(self, f"_take_{name}", None)
        return [] if take is None else take(payload)

    def _run_completion(self, payload: bytes) -> Entry:
        proposal = wire.ProposeRunCompletion.FromString(payload)
        if proposal.WhichOneof("result") == "failure":
            recorded = self._now(MessageType.RUN_COMPLETION, proposal.result_completion_id, proposal.failure)
        else:
            recorded = self._now(MessageType.RUN_COMPLETION, proposal.result_completion_id, proposal.value)
        if self.version < ProtocolVersion.V7:
            return recorded
        ack = wire.ProposeRunCompletionAck(completion_id=proposal.result_completion_id)
        return MessageType.PROPOSE_RUN_COMPLETION_ACK, ack.SerializeToString()

    def _take_sleep(self, payload: bytes) -> list[Entry]:
        self._later(MessageType.SLEEP_COMPLETION, wire.SleepCommand.FromString(payload).result_completion_id, None)
        return []

    def _take_call(self, payload: bytes) -> list[Entry]:
        call = wire.CallCommand.FromString(payload)
        self.calls.append((call.service_name, call.handler_name, call.parameter))
        self.call_commands.append(call)
        try:
            result: Any = self.on_call(call.service_name, call.handler_name, call.parameter)
        except Rejected as rejected:
            result = rejected.failure
        if result is not None:
            self._later(MessageType.CALL_COMPLETION, call.result_completion_id, result)
        return [self._child(call.invocation_id_notification_idx)]

    def _take_one_way_call(self, payload: bytes) -> list[Entry]:
        send = wire.OneWayCallCommand.FromString(payload)
        self.calls.append((send.service_name, send.handler_name, send.parameter))
        self.call_commands.append(send)
        return [self._child(send.invocation_id_notification_idx)]

    def _take_send_signal(self, payload: bytes) -> list[Entry]:
        self.signals.append(wire.SendSignalCommand.FromString(payload))
        return []

    def _take_complete_awakeable(self, payload: bytes) -> list[Entry]:
        command = wire.CompleteAwakeableCommand.FromString(payload)
        self.awakeables.append(command)
        invocation, index = parse_awakeable_id(command.awakeable_id)
        if invocation == INVOCATION:
            result = command.failure if command.WhichOneof("result") == "failure" else command.value.content
            self.pending.append(signal(index=index, value=result))
        return []

    def _take_get_lazy_state(self, payload: bytes) -> list[Entry]:
        get = wire.GetLazyStateCommand.FromString(payload)
        value = (self.state or {}).get(get.key.decode())
        return [self._now(MessageType.GET_LAZY_STATE_COMPLETION, get.result_completion_id, value)]

    def _take_get_lazy_state_keys(self, payload: bytes) -> list[Entry]:
        get = wire.GetLazyStateKeysCommand.FromString(payload)
        keys = wire.StateKeys(keys=sorted(key.encode() for key in self.state or ()))
        return [self._now(MessageType.GET_LAZY_STATE_KEYS_COMPLETION, get.result_completion_id, keys)]

    def _take_set_state(self, payload: bytes) -> list[Entry]:
        command = wire.SetStateCommand.FromString(payload)
        assert self.state is not None, "state was written where there is none"
        self.state[command.key.decode()] = command.value.content
        return []

    def _take_clear_state(self, payload: bytes) -> list[Entry]:
        assert self.state is not None, "state was cleared where there is none"
        self.state.pop(wire.ClearStateCommand.FromString(payload).key.decode(), None)
        return []

    def _take_clear_all_state(self, payload: bytes) -> list[Entry]:
        assert self.state is not None, "state was cleared where there is none"
        self.state.clear()
        return []

    def _take_get_promise(self, payload: bytes) -> list[Entry]:
        get = wire.GetPromiseCommand.FromString(payload)
        if get.key in self.promises:
            completion = self.promises[get.key]
            return [self._now(MessageType.GET_PROMISE_COMPLETION, get.result_completion_id, completion)]
        self._waiting_promises.append((get.key, get.result_completion_id))
        return []

    def _take_peek_promise(self, payload: bytes) -> list[Entry]:
        peek = wire.PeekPromiseCommand.FromString(payload)
        completion = self.promises.get(peek.key)
        return [self._now(MessageType.PEEK_PROMISE_COMPLETION, peek.result_completion_id, completion)]

    def _take_complete_promise(self, payload: bytes) -> list[Entry]:
        command = wire.CompletePromiseCommand.FromString(payload)
        answer: Any = None
        if command.key in self.promises:
            answer = wire.Failure(code=409, message="promise was already completed")
        elif command.WhichOneof("completion") == "completion_failure":
            self.complete_promise(command.key, command.completion_failure)
        else:
            self.complete_promise(command.key, command.completion_value.content)
        return [self._now(MessageType.COMPLETE_PROMISE_COMPLETION, command.result_completion_id, answer)]

    def complete_promise(self, key: str, result: Any) -> None:
        """Complete a promise, as a handler of the workflow does; those who wait for it learn it some time."""
        self.promises[key] = result
        for waiting_key, completion_id in self._waiting_promises:
            if waiting_key == key:
                self._later(MessageType.GET_PROMISE_COMPLETION, completion_id, result)

    def _take_attach_invocation(self, payload: bytes) -> list[Entry]:
        command = wire.AttachInvocationCommand.FromString(payload)
        result = self.outputs[_target(command)]
        self._later(MessageType.ATTACH_INVOCATION_COMPLETION, command.result_completion_id, result)
        return []

    def _take_get_invocation_output(self, payload: bytes) -> list[Entry]:
        command = wire.GetInvocationOutputCommand.FromString(payload)
        result = self.outputs.get(_target(command))
        return [self._now(MessageType.GET_INVOCATION_OUTPUT_COMPLETION, command.result_completion_id, result)]

    def _take_output(self, payload: bytes) -> list[Entry]:
        output = wire.OutputCommand.FromString(payload)
        if output.WhichOneof("result") == "failure":
            self.failure = output.failure
        else:
            self.output = output.value.content
        return []

    # Notifications

    def _child(self, completion_id: int) -> Entry:
        notification = wire.Notification(completion_id=completion_id, invocation_id=f"inv_1child{completion_id}")
        entry = (int(MessageType.CALL_INVOCATION_ID_COMPLETION), notification.SerializeToString())
        self.journal.append(entry)
        return entry

    def _now(self, kind: int, completion_id: int, result: Any) -> Entry:
        entry = completion(kind, completion_id, result)
        self.journal.append(entry)
        return entry

    def _later(self, kind: int, completion_id: int, result: Any) -> None:
        self.pending.append(completion(kind, completion_id, result))


def _target(command: Any) -> str:
    which = command.WhichOneof("target")
    target = getattr(command, which)
    match which:
        case "workflow_target":
            return target.workflow_key
        case "idempotent_request_target":
            return target.idempotency_key
        case _:
            return target


def _content(result: Any) -> dict[str, Any]:
    match result:
        case None:
            return {"void": wire.Void()}
        case bytes():
            return {"value": wire.Value(content=result)}
        case wire.StateKeys():
            return {"state_keys": result}
        case _:
            return {"failure": result}


def completion(kind: int, completion_id: int, result: Any) -> Entry:
    """Give the notification of a completion: a value, nothing, state keys or a failure."""
    notification = wire.Notification(completion_id=completion_id, **_content(result))
    return int(kind), notification.SerializeToString()


def signal(*, index: int | None = None, name: str | None = None, value: Any = None) -> Entry:
    """Give the notification of a signal, by its index or its name."""
    which = {"signal_id": index} if index is not None else {"signal_name": name}
    return int(MessageType.SIGNAL), wire.Notification(**which, **_content(value)).SerializeToString()
