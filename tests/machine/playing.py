"""Playing random handlers on this machine alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from durably.machine import Failure, Handle, Progress, Result
from durably.protocol.framing import FrameDecoder
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine import programs as p
from tests.machine.model import Model
from tests.machine.players import OurPlayer, Refused
from tests.machine.wire import Entry


class Playing:
    """One attempt of a program.

    Attributes:
        output: Everything that was written.
        frames: The same as frames.
        values: What was taken, by handle.
    """

    def __init__(self, program: p.Program, model: Model, *, eof: bool = False, cuts: Iterable[int] = ()) -> None:
        self.program = program
        self.model = model
        self.eof = eof
        self.output = b""
        self.frames: list[tuple[int, int, bytes]] = []
        self.values: dict[Handle, Result] = {}
        self.player = OurPlayer(model.version)
        self._cuts = list(cuts)
        self._slots: list[Handle] = []
        self._outcomes: dict[Handle, bytes | Failure | p.Transient] = {}

    def play(self) -> None:
        """Play until the attempt ends."""
        try:
            self._open()
            for step in self.program.steps:
                if isinstance(step, p.Await):
                    if self._slots:
                        self._await(self._tree(step.tree))
                else:
                    self._start(step)
                if self.player.machine.is_closed:
                    break
        except Refused:
            pass
        self._flush()
        assert self.model.ended is not None

    def _open(self) -> None:
        data = self.model.open()
        edges = [0, *self._cuts, len(data)]
        for begin, end in itertools.pairwise(edges):
            self.player.receive(data[begin:end])
        if self.eof:
            self.player.receive_eof()
        self.player.take_input()

    def _start(self, step: p.Step) -> None:
        handles, _ = self.player.start(step)
        self._slots += handles
        if isinstance(step, p.Run):
            self._outcomes[handles[0]] = step.outcome
        self._flush()

    def _flush(self) -> None:
        data = self.player.output()
        frames = FrameDecoder().feed(data)
        self.output += data
        self.frames += frames
        self.model.receive(frames)

    def _await(self, tree: p.Tree | Handle) -> None:
        while (remaining := self._remaining(tree)) is not None:
            progress, run = self.player.progress(remaining)
            self._flush()
            if progress is Progress.READY:
                self._take(remaining)
            elif progress is Progress.EXECUTE_RUN:
                assert run is not None
                self.player.propose(run, self._outcomes[run])
            elif progress is Progress.WAIT:
                self._wait()
            elif progress is Progress.CANCELLED and not self.program.compensates:
                self._start(p.Return(Failure(409, "cancelled")))
                return
            else:
                return

    def _wait(self) -> None:
        data = self.model.deliver()
        if not data and self.model.release():
            data = self.model.deliver()
        if data:
            self.player.receive(data)
        else:
            self.player.receive_eof()

    def _take(self, tree: p.Tree | Handle) -> None:
        if isinstance(tree, p.Tree):
            for child in tree.children:
                self._take(child)
        elif tree not in self.values and self.player.is_completed(tree):
            self.values[tree] = self.player.take(tree)

    def _tree(self, tree: p.Tree | Handle) -> p.Tree | Handle:
        if isinstance(tree, p.Tree):
            return p.Tree(tree.kind, tuple(self._tree(child) for child in tree.children))
        assert isinstance(tree, int)
        return self._slots[tree % len(self._slots)]

    def _remaining(self, tree: p.Tree | Handle) -> p.Tree | Handle | None:
        if not isinstance(tree, p.Tree):
            return None if tree in self.values else tree
        remaining = [self._remaining(child) for child in tree.children]
        left = tuple(child for child in remaining if child is not None)
        if not left or (tree.kind == "first" and len(left) < len(remaining)):
            return None
        return p.Tree(tree.kind, left)


def play_to_the_end(program: p.Program, version: ProtocolVersion, *, eof: bool, attempts: int = 30) -> list[Entry]:
    """Play attempt after attempt until the program ends or nothing can happen any more; give the journal."""
    model = Model(program, version)
    for _ in range(attempts):
        before = len(model.journal)
        Playing(program, model, eof=eof).play()
        if model.ended is not MessageType.SUSPENSION:
            break
        model.release()
        model.open()
        if len(model.journal) == before:
            break
    return model.journal
