"""Playing one program on both machines at once, comparing them after every single step.

Compared are: the bytes written, byte for byte; the answer of every call; which handles are complete; the values taken;
whether the machine replays. Handles are compared by position. Two things are set equal first: absolute times, because
the peer reads its own clock, and the texts of errors, which are each one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from durably.machine import AwaitingOnPolicy, Failure, Handle, MachineOptions, Progress, Result
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.differential.peer import PeerPlayer
from tests.machine import programs as p
from tests.machine.model import Model
from tests.machine.players import OurPlayer, Player, Refused
from tests.machine.wire import Entry

AnswerT = TypeVar("AnswerT")

CANCELLED = Failure(409, "cancelled")


class Ended(Exception):
    """The attempt is over."""


def comparable(data: bytes) -> list[tuple[int, int, bytes]]:
    """Give the frames that a machine wrote, without absolute times and texts of errors."""
    frames = []
    for kind, flags, payload in FrameDecoder().feed(data):
        message: Any
        if kind == MessageType.SLEEP:
            message = messages.SleepCommand.FromString(payload)
            message.wake_up_time = 1
        elif kind == MessageType.ONE_WAY_CALL:
            message = messages.OneWayCallCommand.FromString(payload)
            message.invoke_time = min(message.invoke_time, 1)
        elif kind == MessageType.ERROR:
            message = messages.Error.FromString(payload)
            message.ClearField("message")
            message.ClearField("stacktrace")
        else:
            frames.append((kind, flags, payload))
            continue
        frames.append((kind, flags, message.SerializeToString()))
    return frames


class Lockstep:
    """One attempt of a program on both machines.

    Attributes:
        slots: The handles the program got so far, ours and the peer's.
    """

    def __init__(
        self,
        program: p.Program,
        model: Model,
        *,
        eof: bool = False,
        chunk: int | None = None,
        check_payloads: bool = True,
    ) -> None:
        self.program = program
        self.model = model
        self.eof = eof
        self.slots: list[tuple[Handle, Handle]] = []
        self._values: dict[Handle, Result] = {}
        self._outcomes: dict[Handle, bytes | Failure | p.Transient] = {}
        self.ours: Player = OurPlayer(
            model.version, MachineOptions(check_payloads=check_payloads, awaiting_on=AwaitingOnPolicy.WHEN_IDLE)
        )
        self.peer: Player = PeerPlayer(model.version, check_payloads=check_payloads)
        self._chunk = chunk

    def play(self) -> None:
        """Play until the attempt ends."""
        try:
            self._open()
            for step in self.program.steps:
                if not isinstance(step, p.Await):
                    self._start(step)
                elif self.slots:
                    self._await(self._tree(step.tree))
        except Ended:
            pass
        assert self.model.ended is not None

    def fail_with(self, message: str, delay_ms: int | None) -> None:
        """Open the attempt, and let the handler fail before its first step."""
        try:
            self._open()
            self._each(lambda player: player.fail(message, delay_ms))
        except Ended:
            pass

    def _open(self) -> None:
        data = self.model.open()
        size = self._chunk or len(data)
        for at in range(0, len(data), size):
            self._both(lambda player, at=at: player.receive(data[at : at + size]))
        assert self._both(lambda player: player.is_ready())
        if self.eof:
            self._both(lambda player: player.receive_eof())
        self._both(lambda player: player.take_input())

    def _start(self, step: p.Step) -> None:
        ours, peers = self._each(lambda player: player.start(step))
        assert ours[1] == peers[1]
        assert len(ours[0]) == len(peers[0])
        self.slots += zip(ours[0], peers[0], strict=True)
        if isinstance(step, p.Run):
            self._outcomes[ours[0][0]] = step.outcome

    def _await(self, tree: p.Tree | Handle) -> None:
        while (remaining := self._remaining(tree)) is not None:
            progress = self._progress(remaining)
            if progress is Progress.READY:
                self._take(remaining)
            elif progress is Progress.CANCELLED and self.program.compensates:
                return
            elif progress is Progress.CANCELLED:
                self._start(p.Return(CANCELLED))
                raise Ended
            elif progress is Progress.WAIT:
                self._wait()
            else:
                assert progress is Progress.SUSPENDED
                raise Ended

    def _progress(self, tree: p.Tree | Handle) -> Progress:
        """Ask both, executing the steps they hand out. The peer hands out waiting steps in any order."""
        executing: list[tuple[Handle, Handle]] = []
        while True:
            ours, peers = self._each(lambda player: player.progress(self._translated(tree, player)))
            assert ours[0] is peers[0]
            if ours[0] is not Progress.EXECUTE_RUN:
                break
            assert ours[1] is not None
            assert peers[1] is not None
            executing.append((ours[1], peers[1]))
        if not executing:
            return ours[0]
        mine = [handle for handle, _ in executing]
        assert sorted(self._of_peer(handle) for handle in mine) == sorted(handle for _, handle in executing)
        for handle in sorted(mine, reverse=self.program.proposals_reversed):
            outcome = self._outcomes[handle]
            self._both(
                lambda player, handle=handle, outcome=outcome: player.propose(self._translated(handle, player), outcome)
            )
        return self._progress(tree)

    def _wait(self) -> None:
        data = self.model.deliver()
        if not data and self.model.release():
            data = self.model.deliver()
        if data:
            self._both(lambda player: player.receive(data))
        else:
            self._both(lambda player: player.receive_eof())

    def _take(self, tree: p.Tree | Handle) -> None:
        for handle in leaves(tree):
            if handle not in self._values and self._both(
                lambda player, handle=handle: player.is_completed(self._translated(handle, player))
            ):
                self._values[handle] = self._both(
                    lambda player, handle=handle: player.take(self._translated(handle, player))
                )

    # ---- trees of slots

    def _tree(self, tree: p.Tree | Handle) -> p.Tree | Handle:
        """Put our handles into a program's tree."""
        if isinstance(tree, p.Tree):
            return p.Tree(tree.kind, tuple(self._tree(child) for child in tree.children))
        assert isinstance(tree, int)
        return self.slots[tree % len(self.slots)][0]

    def _remaining(self, tree: p.Tree | Handle) -> p.Tree | Handle | None:
        """Take out what was resolved by taken values; None when nothing is left to await."""
        if not isinstance(tree, p.Tree):
            return None if tree in self._values else tree
        remaining = [self._remaining(child) for child in tree.children]
        if tree.kind == "first" and None in remaining:
            return None
        left = tuple(child for child in remaining if child is not None)
        return p.Tree(tree.kind, left) if left else None

    def _of_peer(self, handle: Handle) -> Any:
        return next(peers for ours, peers in self.slots if ours == handle)

    def _translated(self, tree: Any, player: Player) -> Any:
        if player is self.ours:
            return tree
        if isinstance(tree, p.Tree):
            return p.Tree(tree.kind, tuple(self._translated(child, player) for child in tree.children))
        return self._of_peer(tree)

    # ---- comparing

    def _both(self, call: Callable[[Player], AnswerT]) -> AnswerT:
        """Do something with both, which must answer alike."""
        ours, peers = self._each(call)
        assert ours == peers
        return ours

    def _each(self, call: Callable[[Player], AnswerT]) -> tuple[AnswerT, AnswerT]:
        """Do something with both; they must write the same bytes, and both refuse it or both not."""
        ours, our_refusal = attempt_call(call, self.ours)
        peers, peer_refusal = attempt_call(call, self.peer)
        our_output = self.ours.output()
        assert comparable(our_output) == comparable(self.peer.output())
        assert (our_refusal is None) == (peer_refusal is None), (our_refusal, peer_refusal)
        self.model.receive(FrameDecoder().feed(our_output))
        if our_refusal is not None or self.model.ended is not None:
            if ours is not None and self.model.ended is MessageType.SUSPENSION:
                return ours, peers  # type: ignore[return-value]
            raise Ended
        assert self.ours.is_replaying() == self.peer.is_replaying()
        return ours, peers  # type: ignore[return-value]


def attempt_call(call: Callable[[Player], AnswerT], player: Player) -> tuple[AnswerT | None, Refused | None]:
    """Call, and give either the answer or the refusal."""
    try:
        return call(player), None
    except Refused as refusal:
        return None, refusal


def leaves(tree: p.Tree | Handle) -> Iterable[Handle]:
    """Give the handles of a tree, each once."""
    if not isinstance(tree, p.Tree):
        return [tree]
    return dict.fromkeys(leaf for child in tree.children for leaf in leaves(child))


def play_to_the_end(
    program: p.Program, version: ProtocolVersion, *, eof: bool, attempts: int = 30, chunk: int | None = None
) -> list[Entry]:
    """Play attempt after attempt until the program ends or nothing can happen any more; give the journal."""
    model = Model(program, version)
    for _ in range(attempts):
        before = len(model.journal)
        Lockstep(program, model, eof=eof, chunk=chunk).play()
        if model.ended is not MessageType.SUSPENSION:
            break
        model.release()
        model.open()
        if len(model.journal) == before:
            break
    return model.journal
