"""Handlers without an engine: one attempt, with results that the test gives, and a record of what the handler did.

Owns the runtime's side of that attempt. The context is the real one, so that `gather`, `select`, timeouts and type
conversions are what they are in production; only the world behind it is the test's.

    mock = MockInvocation(place, state={"left": 10})
    mock.on_step("charge", returns=Receipt("r-1"))
    mock.on_call("Stock/take", returns=7)
    assert await mock.run(3) == "r-1: 7 left"
    assert mock.did == ["call Stock['apples']/take", "run 'charge'", "sleep"]

Rules
1. A step without a result of the test's is executed. Everything else has a result, or the handler must not wait for it.
2. Timers fire when the handler waits and nothing else is left to arrive.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from durably.authoring.handlers import handler_of
from durably.authoring.probes import probe
from durably.authoring.runs import failure_from
from durably.authoring.sync_attempt import run_sync_attempt
from durably.endpoint import Endpoint
from durably.engine.clock import RealClock
from durably.errors import SdkInternalBaseException, TerminalError, UsageError
from durably.hosting.aio import run_attempt
from durably.machine.mismatches import describe
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.ids import InvocationId
from durably.protocol.messages import CLASS_OF, MessageType, is_command
from durably.protocol.versions import ProtocolVersion
from durably.serde import DEFAULT_SERDE
from durably.testing.watching import Stub, Watch

__all__ = ["MockInvocation", "Operation"]

_ID: Final = InvocationId(7, 7)
_FIRST_SIGNAL: Final = 17  # the protocol's first index for awakeables
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Operation:
    """One durable operation of the handler.

    Attributes:
        what: For people, as `run 'charge'` or `call Stock['apples']/take`.
        kind: The wire's name of its command, as `CALL`.
        value: What it carried: a call's argument, a state's new value, a step's result as it was recorded; else None.
    """

    what: str
    kind: str
    value: Any = None


class MockInvocation:
    """One invocation of one handler, of either kind. `run` or `run_blocking` can be called again: it begins anew.

    Attributes:
        operations: What the handler did, in its order, its result left out.
        state: The object's state, as JSON has it; the handler's writes included.
    """

    def __init__(
        self,
        handler: Any,
        *,
        key: str = "key",
        state: Mapping[str, Any] | None = None,
        endpoint: Endpoint | None = None,
        random_seed: int = 0,
    ) -> None:
        """Prepare.

        Args:
            handler: The decorated function.
            key: Of the object or workflow.
            state: Its state before.
            endpoint: What it belongs to, for its failure maps.
            random_seed: What `ctx.random()` and `ctx.uuid()` come from.
        """
        self._handler = handler_of(handler)
        self._key = key if self._handler.is_keyed else ""
        self._endpoint = endpoint or Endpoint()
        self._seed = random_seed
        self._watch = Watch(RealClock())
        self._results: dict[tuple[str, str], deque[Any]] = {}
        self._awakeables: list[Any] = []
        self._signals: list[tuple[str, Any]] = []
        self._before: dict[str, Any] = dict(state or {})
        self.state: dict[str, Any] = dict(self._before)
        self.operations: list[Operation] = []

    @property
    def did(self) -> list[str]:
        """What the handler did, for people."""
        return [operation.what for operation in self.operations]

    # ---- results

    def on_step(
        self,
        name: str,
        *,
        returns: Any = None,
        raises: BaseException | None = None,
        calls: Callable[..., Any] | None = None,
    ) -> None:
        """Let the steps of this name give, raise or compute something instead of being executed."""
        self._watch.stub(name, Stub(returns, raises, calls))

    def on_call(self, target: str, *, returns: Any = None, raises: TerminalError | None = None) -> None:
        """Give the result of calls of `service/handler`. Several: one call each, the last one for all further."""
        self._give("call", target, returns, raises)

    def on_promise(self, name: str, *, returns: Any = None, raises: TerminalError | None = None) -> None:
        """Give the value of a workflow's promise."""
        self._give("promise", name, returns, raises)

    def on_output(self, of: str, *, returns: Any = None, raises: TerminalError | None = None) -> None:
        """Give the output of an invocation that the handler attaches to: by its id, workflow or idempotency key."""
        self._give("output", of, returns, raises)

    def on_awakeable(self, *, returns: Any = None, raises: TerminalError | None = None) -> None:
        """Complete the next awakeable, in the order in which the handler makes them."""
        self._awakeables.append(returns if raises is None else raises)

    def on_signal(self, name: str, *, returns: Any = None, raises: TerminalError | None = None) -> None:
        """Let a named signal arrive."""
        self._signals.append((name, returns if raises is None else raises))

    def _give(self, kind: str, name: str, returns: Any, raises: TerminalError | None) -> None:
        self._results.setdefault((kind, name), deque()).append(returns if raises is None else raises)

    def result_for(self, kind: str, name: str) -> Any:
        """Take the next result, or a mark that there is none."""
        results = self._results.get((kind, name))
        if not results:
            return _MISSING
        return results.popleft() if len(results) > 1 else results[0]

    # ---- running

    async def run(self, argument: Any = None) -> Any:
        """Run an `async def` handler; give what it returns.

        Raises:
            Exception: What the handler raises.
            UsageError: It waits for what has no result, or it is a `def` handler.
        """
        if not self._handler.is_async:
            raise UsageError(f"{self._handler!r} is a def handler.", hint="Use run_blocking.")
        outcome: list[Any] = []
        original = self._handler.invoke

        async def invoke(context: Any, given: Any) -> Any:
            try:
                outcome.append(await original(context, given))
            except BaseException as error:
                outcome.append(error)
                raise
            return outcome[0]

        wire = self._begin(argument)
        token = probe.set(self._watch)
        try:
            machine = self._watch.machine(ProtocolVersion.V7, self._endpoint.machine_options)
            handler = replace(self._handler, invoke=invoke)
            await run_attempt(handler, self._endpoint, machine, {}, wire.receive_event, wire.send_event)
        finally:
            probe.reset(token)
        return self._outcome(outcome, wire)

    def run_blocking(self, argument: Any = None) -> Any:
        """Run a `def` handler on this thread; give what it returns. See `run`."""
        if self._handler.is_async:
            raise UsageError(f"{self._handler!r} is an async def handler.", hint="Await run.")
        outcome: list[Any] = []
        original = self._handler.invoke

        def invoke(context: Any, given: Any) -> Any:
            try:
                outcome.append(original(context, given))
            except BaseException as error:
                outcome.append(error)
                raise
            return outcome[0]

        wire = self._begin(argument)
        token = probe.set(self._watch)
        try:
            machine = self._watch.machine(ProtocolVersion.V7, self._endpoint.machine_options)
            run_sync_attempt(replace(self._handler, invoke=invoke), self._endpoint, machine, {}, wire)
        finally:
            probe.reset(token)
        return self._outcome(outcome, wire)

    def _begin(self, argument: Any) -> _Wire:
        self.operations = []
        self.state = dict(self._before)
        body = self._handler.input_serde.serialize(argument) if self._handler.takes_input else b""
        start = messages.Start(
            id=_ID.raw, debug_id=_ID.encode(), known_entries=1, key=self._key, random_seed=self._seed
        )
        for name, value in self._before.items():
            start.state_map.add(key=name.encode(), value=DEFAULT_SERDE.serialize(value))
        command = messages.InputCommand(value=messages.Value(content=body))
        wire = _Wire(self)
        wire.put(MessageType.START, start)
        wire.put(MessageType.INPUT, command)
        for number, value in enumerate(self._awakeables):
            wire.put(MessageType.SIGNAL, _notified(value, signal_id=_FIRST_SIGNAL + number))
        for name, value in self._signals:
            wire.put(MessageType.SIGNAL, _notified(value, signal_name=name))
        return wire

    def _outcome(self, outcome: list[Any], wire: _Wire) -> Any:
        value = outcome[0] if outcome else None
        if isinstance(value, SdkInternalBaseException | asyncio.CancelledError) or (not outcome and wire.error is None):
            last = f" Its last operation: {self.operations[-1].what}." if self.operations else ""
            raise UsageError(
                f"{self._handler!r} waits for what the test gives no result for.{last}",
                hint="Give one, with on_call, on_promise, on_awakeable, on_signal or on_output.",
            )
        if isinstance(value, BaseException):
            raise value
        if wire.error is not None:  # the input or the output could not be read or written
            raise UsageError(f"{self._handler!r} failed: {wire.error}")
        if wire.failure is not None:
            raise wire.failure
        return value


class _Wire:
    """The connection: answers what the handler writes, at once."""

    def __init__(self, mock: MockInvocation) -> None:
        self._mock = mock
        self._incoming: deque[bytes | None] = deque()
        self._timers: deque[bytes] = deque()
        self._decoder = FrameDecoder()
        self._arrived = asyncio.Event()
        self.error: str | None = None
        self.failure: TerminalError | None = None

    def put(self, kind: int, message: Any) -> None:
        """Let a message arrive."""
        self._incoming.append(encode_frame(kind, message.SerializeToString()))
        self._arrived.set()

    async def receive_event(self) -> dict[str, Any]:
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        data = self._incoming.popleft()
        return {"type": "http.request", "body": data or b"", "more_body": data is not None}

    async def send_event(self, event: dict[str, Any]) -> None:
        self.send(event.get("body", b""))

    def send(self, data: bytes) -> None:
        for kind, _, payload in self._decoder.feed(data):
            self._take(kind, payload)

    def receive(self) -> bytes | None:
        if not self._incoming:
            self._let_time_pass()
        return self._incoming.popleft()

    def wake(self) -> None:
        """Nothing runs on other threads."""

    def submit(self, function: Callable[[], None]) -> None:
        function()

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        """Never."""

    def _let_time_pass(self) -> None:
        self._incoming.append(self._timers.popleft() if self._timers else None)
        self._arrived.set()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == MessageType.AWAITING_ON:
            if not self._incoming:
                self._let_time_pass()
            return
        if kind in (MessageType.END, MessageType.SUSPENSION):
            self._end()
            return
        message: Any = messages.parse(CLASS_OF[kind], payload)
        if kind == MessageType.ERROR:
            self.error = message.message
            self._end()
        elif kind == MessageType.PROPOSE_RUN_COMPLETION:
            self.put(
                MessageType.PROPOSE_RUN_COMPLETION_ACK,
                messages.ProposeRunCompletionAck(completion_id=message.result_completion_id),
            )
        elif kind == MessageType.OUTPUT:
            if message.WhichOneof("result") == "failure":
                self.failure = TerminalError(message.failure.message, message.failure.code)
        elif is_command(kind):
            self._mock.operations.append(
                Operation(describe(kind, message), MessageType(kind).name, self._carried(kind, message))
            )
            self._answer(kind, message)

    def _end(self) -> None:
        self._incoming.append(None)
        self._arrived.set()

    def _carried(self, kind: int, message: Any) -> Any:
        match kind:
            case MessageType.CALL | MessageType.ONE_WAY_CALL:
                return DEFAULT_SERDE.deserialize(message.parameter) if message.parameter else None
            case MessageType.SET_STATE | MessageType.COMPLETE_AWAKEABLE:
                return DEFAULT_SERDE.deserialize(message.value.content)
            case _:
                return None

    def _answer(self, kind: int, message: Any) -> None:
        mock = self._mock
        match kind:
            case MessageType.SET_STATE:
                mock.state[message.key.decode()] = DEFAULT_SERDE.deserialize(message.value.content)
            case MessageType.CLEAR_STATE:
                mock.state.pop(message.key.decode(), None)
            case MessageType.CLEAR_ALL_STATE:
                mock.state.clear()
            case MessageType.SLEEP:
                timer = _notified(None, completion_id=message.result_completion_id)
                self._timers.append(encode_frame(MessageType.SLEEP_COMPLETION, timer.SerializeToString()))
            case MessageType.CALL | MessageType.ONE_WAY_CALL:
                child = message.invocation_id_notification_idx
                self.put(
                    MessageType.CALL_INVOCATION_ID_COMPLETION,
                    messages.Notification(completion_id=child, invocation_id=InvocationId(8, child).encode()),
                )
                if kind == MessageType.CALL:
                    target = f"{message.service_name}/{message.handler_name}"
                    self._complete(MessageType.CALL_COMPLETION, message, mock.result_for("call", target))
            case MessageType.GET_PROMISE:
                self._complete(MessageType.GET_PROMISE_COMPLETION, message, mock.result_for("promise", message.key))
            case MessageType.PEEK_PROMISE:
                found = mock.result_for("promise", message.key)
                self._complete(MessageType.PEEK_PROMISE_COMPLETION, message, None if found is _MISSING else found)
            case MessageType.COMPLETE_PROMISE:
                self._complete(MessageType.COMPLETE_PROMISE_COMPLETION, message, None)
            case MessageType.ATTACH_INVOCATION:
                self._complete(MessageType.ATTACH_INVOCATION_COMPLETION, message, self._output_for(message))
            case MessageType.GET_INVOCATION_OUTPUT:
                found = self._output_for(message)
                self._complete(
                    MessageType.GET_INVOCATION_OUTPUT_COMPLETION, message, None if found is _MISSING else found
                )
            case _:
                pass  # nothing follows from it

    def _output_for(self, message: Any) -> Any:
        target: Any = getattr(message, message.WhichOneof("target"))
        names = ("workflow_key", "idempotency_key")
        name = next((getattr(target, each) for each in names if hasattr(target, each)), target)
        return self._mock.result_for("output", cast("str", name))

    def _complete(self, kind: int, message: Any, value: Any) -> None:
        if value is not _MISSING:
            self.put(kind, _notified(value, completion_id=message.result_completion_id))


def _notified(value: Any, **which: Any) -> messages.Notification:
    if isinstance(value, TerminalError):
        failure = failure_from(value)
        return messages.Notification(**which, failure=messages.Failure(code=failure.code, message=failure.message))
    if value is None:
        return messages.Notification(**which, void=messages.Void())
    return messages.Notification(**which, value=messages.Value(content=DEFAULT_SERDE.serialize(value)))
