"""Whatever arrives, and however it is cut: the machine answers the same, or refuses it properly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from durably.machine import MachineOptions, Progress
from durably.protocol.framing import FrameDecoder
from durably.protocol.messages import CLASS_OF, MessageType, is_command
from durably.protocol.versions import ProtocolVersion
from tests.machine import programs as p
from tests.machine.model import Model
from tests.machine.players import OurPlayer, Refused
from tests.machine.playing import Playing, play_to_the_end
from tests.machine.wire import VERSIONS, Entry, frames_of

T = MessageType
VERSION = st.sampled_from(VERSIONS)


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[int]:
    """Draw where a stream is cut into chunks."""
    return sorted(draw(st.lists(st.integers(0, length), max_size=12)))


@given(program=p.programs(), version=VERSION, data=st.data())
@settings(max_examples=60)
def test_chunks_do_not_matter(program: p.Program, version: ProtocolVersion, data: st.DataObject):
    """Any chunking of the journal, down to single bytes, leads to the same frames."""
    journal = play_to_the_end(program, version, eof=False)
    whole = Playing(program, Model(program, version, journal))
    whole.play()
    stream = Model(program, version, journal).open()
    chunked = Playing(program, Model(program, version, journal), cuts=data.draw(cuts(len(stream))))
    chunked.play()
    bytewise = Playing(program, Model(program, version, journal), cuts=list(range(len(stream))))
    bytewise.play()
    assert whole.output == chunked.output == bytewise.output


@given(program=p.programs(), version=VERSION, eof=st.booleans())
@settings(max_examples=60)
def test_replay_writes_what_is_missing(program: p.Program, version: ProtocolVersion, eof: bool):
    """A journal cut after any entry leads to exactly the commands that had followed the cut, in their order."""
    if any(handle == 1 for _, handle, _ in program.signals):
        return  # where a cancellation lands depends on what else has arrived, so commands may differ
    journal = play_to_the_end(program, version, eof=eof)
    for cut in range(1, len(journal) + 1):
        model = Model(program, version, journal[:cut])
        playing = Playing(program, model, eof=eof)
        playing.play()
        assert model.ended is not T.ERROR
        expected = [stored for stored in journal[cut:] if is_command(stored[0])]
        new = [(kind, payload) for kind, _, payload in playing.frames if is_command(kind)]
        assert new == expected[: len(new)]
        assert len(new) == len(expected) or model.ended is T.SUSPENSION


def finish(player: OurPlayer) -> None:
    """Let a handler go on as far as it can: a sleep, awaits, a step, the end. Nothing but refusals may come out."""
    machine = player.machine
    try:
        if not machine.is_ready_to_execute:
            player.receive_eof()
        machine_input = player.take_input()
        assert machine_input
        (sleep,), _ = player.start(p.Sleep())
        (run,), _ = player.start(p.Run("step"))
        for _ in range(20):
            progress, handle = player.progress(p.Tree("all", (sleep, run, "go")))
            if progress is Progress.EXECUTE_RUN:
                assert handle is not None
                player.propose(handle, b"done")
            elif progress is Progress.WAIT:
                player.receive_eof()
            elif progress is Progress.SUSPENDED:
                return
            elif progress is Progress.READY:
                for leaf in (sleep, run, "go"):
                    if player.is_completed(leaf):
                        player.take(leaf)
        player.start(p.Return())
    except Refused:
        assert machine.is_closed


def check_output(data: bytes) -> list[int]:
    """Read everything that was written; the frame that closes the stream is the last and the only one of its kind."""
    decoder = FrameDecoder()
    kinds: list[int] = []
    for kind, _, payload in decoder.feed(data):
        CLASS_OF[kind].FromString(payload)
        kinds.append(kind)
    assert decoder.buffered_bytes == 0
    closing = [kind for kind in kinds if kind in (T.ERROR, T.END, T.SUSPENSION)]
    assert len(closing) <= 1
    assert not closing or kinds[-1] == closing[0]
    return kinds


def feed_anything(version: ProtocolVersion, chunks: list[bytes]) -> None:
    """Feed chunks, then let a handler run; whatever happens, the output is well formed and the attempt is over."""
    player = OurPlayer(version, MachineOptions(max_message_bytes=4096))
    output = b""
    for chunk in chunks:
        try:
            player.receive(chunk)
        except Refused:
            assert player.machine.is_closed
        output += player.output()
    finish(player)
    output += player.output()
    kinds = check_output(output)
    if player.machine.is_closed:
        assert kinds[-1] in (T.ERROR, T.END, T.SUSPENSION)


@given(version=VERSION, chunks=st.lists(st.binary(max_size=64), max_size=5))
@settings(max_examples=200)
def test_noise_is_refused(version: ProtocolVersion, chunks: list[bytes]):
    """Random bytes never hang the machine nor raise anything but an error of the protocol."""
    feed_anything(version, chunks)


@given(
    version=VERSION,
    frames=st.lists(st.tuples(st.sampled_from([*map(int, T), 0x0042, 0xFC00]), st.binary(max_size=24)), max_size=6),
    program=p.programs(max_steps=4),
)
@settings(max_examples=200)
def test_frames_of_noise_are_refused(version: ProtocolVersion, frames: list[Entry], program: p.Program):
    """Well-framed messages of any type with random contents, after a proper start, do no harm either."""
    opening = Model(program, version).open()
    feed_anything(version, [frames_of(frames)])
    feed_anything(version, [opening, frames_of(frames)])


@given(program=p.programs(), version=VERSION, data=st.data())
@settings(max_examples=200)
def test_broken_journals_are_refused(program: p.Program, version: ProtocolVersion, data: st.DataObject):
    """Journals truncated, with entries moved, doubled or dropped, or with bytes changed, are refused or followed."""
    journal = play_to_the_end(program, version, eof=False)
    order = data.draw(st.lists(st.sampled_from(range(len(journal))), max_size=len(journal) + 2))
    stream = bytearray(Model(program, version, [journal[at] for at in order] or journal).open())
    for _ in range(data.draw(st.integers(0, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))
    feed_anything(version, [bytes(stream[:end])])
