"""A runtime reduced to durable steps: it stores what an endpoint writes and calls again until there is a result."""

from __future__ import annotations

from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from tests.hosting import wire

T = MessageType


class StepRuntime:
    """One invocation of a handler that takes steps, over as many attempts as it needs.

    It moves no bytes: send `open_attempt()`, then answer what comes with `receive`.

    Attributes:
        result: The invocation's output, once there is one.
        is_over: Whether the current attempt said its last word.
        errors: Messages of failed attempts.
    """

    def __init__(self, body: bytes) -> None:
        """Make an invocation with that input."""
        self._journal = [wire.given(body)]
        self._decoder = FrameDecoder()
        self.result: bytes | None = None
        self.is_over = False
        self.errors: list[str] = []

    def open_attempt(self) -> bytes:
        """Begin an attempt: give everything stored so far."""
        self._decoder = FrameDecoder()
        self.is_over = False
        return wire.start(len(self._journal)) + b"".join(self._journal)

    def receive(self, data: bytes) -> bytes:
        """Store what came; give what the endpoint gets for it."""
        answers: list[bytes] = []
        for kind, _, payload in self._decoder.feed(data):
            match MessageType(kind):
                case T.RUN:
                    self._journal.append(encode_frame(kind, payload))
                case T.PROPOSE_RUN_COMPLETION:
                    proposal = messages.ProposeRunCompletion.FromString(payload)
                    completion = wire.run_completion(proposal.result_completion_id, proposal.value)
                    self._journal.append(completion)
                    answers.append(completion)
                case T.OUTPUT:
                    self.result = messages.OutputCommand.FromString(payload).value.content
                case T.ERROR:
                    self.errors.append(messages.Error.FromString(payload).message)
                    self.is_over = True
                case T.END | T.SUSPENSION:
                    self.is_over = True
                case T.AWAITING_ON:
                    continue
                case other:
                    raise AssertionError(f"a handler of steps wrote {other.name}")
        return b"".join(answers)
