"""Where this machine differs from the peer's core on purpose: one table, and a proof that each row is still true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from durably.errors import ProtocolError
from durably.machine import MachineOptions, Progress
from durably.protocol import messages
from durably.protocol.framing import encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.differential.peer import PeerPlayer
from tests.machine import programs as p
from tests.machine.players import OurPlayer, Player, Refused
from tests.machine.wire import V6, V7, entry, frame, frames_of, input_entry, read, start

T = MessageType


def opened(player: Player, *entries: Any, **start_fields: Any) -> Player:
    """Let a player get to where its handler runs."""
    player.receive(start(1 + len(entries), **start_fields) + frames_of([input_entry(), *entries]))
    player.take_input()
    return player


def error_code(player: Player) -> int | None:
    """Give the code of the Error that a player wrote, or None when it wrote none."""
    codes = [item.message.code for item in read(player.output()) if item.type is T.ERROR]
    return codes[0] if codes else None


def refused(call: Callable[[], object]) -> bool:
    """Tell whether a call raises an error of the protocol."""
    try:
        call()
    except (Refused, ProtocolError):
        return True
    return False


def keys_after_one_was_cleared(player: Player) -> object:
    """Clear one of two keys, then list them."""
    opened(player, state_map=[messages.StateEntry(key=b"a", value=b"1"), messages.StateEntry(key=b"b", value=b"2")])
    player.start(p.ClearState("a"))
    (handle,), _ = player.start(p.GetKeys())
    return player.take(handle)


def delay_of_an_uneven_factor(player: Player) -> object:
    """Let a step fail twice with a factor of 1.3."""
    stored = entry(T.RUN, result_completion_id=1, name="x")
    opened(player, stored, retry_count_since_last_stored_entry=1)
    (handle,), _ = player.start(p.Run("x"))
    assert player.progress(handle)[0] is Progress.EXECUTE_RUN
    refused(lambda: player.propose(handle, p.Transient(initial_interval_ms=100, factor=1.3)))
    return read(player.output())[0].message.next_retry_delay


def limit_key_without_scope(player: Player) -> object:
    """Call with a limit key and no scope."""
    opened(player)
    refused(lambda: player.start(p.Call(limit_key="l")))
    return error_code(player)


def end_without_output(player: Player) -> object:
    """End before any output was written."""
    opened(player)
    refused(player.end)
    return [item.type for item in read(player.output())]


def end_twice(player: Player) -> object:
    """End what has ended."""
    opened(player)
    player.start(p.Return())
    return refused(player.end)


def command_ack(player: Player) -> object:
    """Receive the acknowledgement of a command."""
    opened(player)
    data = frame(T.COMMAND_ACK, messages.CommandAck(command_index=1))
    assert refused(lambda: player.receive(data))
    return error_code(player)


def oversized_message(player: Player) -> object:
    """Receive the header of a message of four gigabytes."""
    opened(player)
    return refused(lambda: player.receive(encode_frame(T.SIGNAL, b"")[:4] + b"\xff\xff\xff\xff"))


def signal_with_other_payload(player: Player) -> object:
    """Replay a signal whose payload is another one now."""
    stored = entry(T.SEND_SIGNAL, target_invocation_id="inv_other", name="go", value=messages.Value(content=b"1"))
    opened(player, stored)
    return refused(lambda: player.start(p.SendSignal("go", b"2")))


def wait_for_an_acknowledgement(player: Player) -> object:
    """Execute a step, and wait until its result is acknowledged."""
    opened(player)
    (handle,), _ = player.start(p.Run("x"))
    assert player.progress(handle)[0] is Progress.EXECUTE_RUN
    player.propose(handle, b"1")
    assert player.progress(handle)[0] is Progress.WAIT
    return [item.type for item in read(player.output())]


@dataclass(frozen=True)
class Difference:
    """Something that the two machines do differently.

    Attributes:
        show: Makes a player do it, and gives what can be seen.
        ours: What this machine shows.
        peers: What the peer's core shows.
        reason: Why ours is right.
    """

    show: Callable[[Player], object]
    ours: object
    peers: object
    reason: str
    version: ProtocolVersion = V6
    check_payloads: bool = True


DIFFERENCES: dict[str, Difference] = {
    "delays are computed in double precision": Difference(
        delay_of_an_uneven_factor,
        130,
        129,
        "100 ms times 1.3 is 130 ms",
    ),
    "cleared keys are not listed": Difference(
        keys_after_one_was_cleared,
        ("b",),
        ("a", "b"),
        "the runtime would not list them either, so a replay on lazy state would see something else",
    ),
    "a limit key needs a scope": Difference(
        limit_key_without_scope,
        500,
        None,
        "the runtime refuses such a call after it was journaled, and then for ever",
        version=V7,
    ),
    "an invocation ends with an output": Difference(
        end_without_output,
        [T.ERROR],
        [T.END],
        "the runtime has no result to give and the invocation hangs",
    ),
    "nothing is accepted after the end": Difference(
        end_twice,
        True,
        False,
        "a second end is a mistake of the layer above, and is named",
    ),
    "an acknowledged command is a violation": Difference(
        command_ack,
        571,
        500,
        "the message exists in the protocol; it was only never asked for",
    ),
    "messages are bounded": Difference(
        oversized_message,
        True,
        False,
        "a forged length must not make the endpoint buffer four gigabytes",
    ),
    "a step that was just proposed is not reported as awaited": Difference(
        wait_for_an_acknowledgement,
        [T.RUN, T.PROPOSE_RUN_COMPLETION],
        [T.RUN, T.PROPOSE_RUN_COMPLETION, T.AWAITING_ON],
        "the acknowledgement comes at once, and a message for every step costs more than the hint is worth",
        version=V7,
    ),
    "payload checks off means signals too": Difference(
        signal_with_other_payload,
        False,
        True,
        "a serializer that is not repeatable is not so for signals either",
        check_payloads=False,
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_is_real(name: str):
    """Both machines show what the table says, so that a row goes when the peer changes."""
    difference = DIFFERENCES[name]
    options = MachineOptions(check_payloads=difference.check_payloads)
    assert difference.show(OurPlayer(difference.version, options)) == difference.ours
    assert difference.show(PeerPlayer(difference.version, check_payloads=difference.check_payloads)) == difference.peers
    assert difference.ours != difference.peers
    assert difference.reason
