"""The choices for a machine."""

from __future__ import annotations

from durably.machine import AwaitingOnPolicy, ErrorBehavior, MachineOptions, MismatchPolicy
from durably.machine.options import DEFAULT_OPTIONS
from durably.protocol import messages
from durably.protocol.framing import DEFAULT_MAX_MESSAGE_BYTES


def test_defaults_are_those_of_the_peer():
    """Checks are on, cancellations are implicit and reach calls, and messages have the runtime's limit."""
    assert MachineOptions() == DEFAULT_OPTIONS
    assert DEFAULT_OPTIONS.check_payloads
    assert DEFAULT_OPTIONS.implicit_cancellation
    assert DEFAULT_OPTIONS.cancel_children_calls
    assert not DEFAULT_OPTIONS.cancel_children_sends
    assert DEFAULT_OPTIONS.mismatch_behavior is MismatchPolicy.RETRY
    assert DEFAULT_OPTIONS.awaiting_on is AwaitingOnPolicy.WHEN_WAITING
    assert DEFAULT_OPTIONS.max_message_bytes == DEFAULT_MAX_MESSAGE_BYTES


def test_behaviors_have_the_numbers_of_the_protocol():
    """The enum can be written into an Error as it is."""
    protocol = messages.Error.DESCRIPTOR.fields_by_name["behavior"].enum_type
    assert protocol is not None
    expected = {name: value.number for name, value in protocol.values_by_name.items()}
    assert {behavior.name: behavior.value for behavior in ErrorBehavior} == expected
