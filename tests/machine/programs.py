"""Handlers as data: lists of steps that any machine can be made to play, and strategies that draw them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from durably.machine import Failure, Handle


@dataclass(frozen=True)
class Transient:
    """A step's failure that may be retried, with the policy's limits; None leaves them open."""

    message: str = "flaky"
    initial_interval_ms: int | None = None
    factor: float = 2.0
    max_attempts: int | None = None
    attempt_duration_ms: int = 0


@dataclass(frozen=True)
class Run:
    name: str
    outcome: bytes | Failure | Transient = b"done"


@dataclass(frozen=True)
class Sleep:
    milliseconds: int = 1000
    name: str = ""


@dataclass(frozen=True)
class Call:
    service: str = "Greeter"
    handler: str = "greet"
    parameter: bytes = b'"x"'
    key: str = ""
    idempotency_key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    scope: str | None = None
    limit_key: str | None = None


@dataclass(frozen=True)
class Send:
    service: str = "Greeter"
    handler: str = "greet"
    parameter: bytes = b'"x"'
    key: str = ""
    delay_ms: int | None = None
    idempotency_key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class GetState:
    key: str


@dataclass(frozen=True)
class GetKeys:
    pass


@dataclass(frozen=True)
class SetState:
    key: str
    value: bytes


@dataclass(frozen=True)
class ClearState:
    key: str


@dataclass(frozen=True)
class ClearAll:
    pass


@dataclass(frozen=True)
class Awakeable:
    pass


@dataclass(frozen=True)
class CompleteAwakeable:
    result: bytes | Failure
    id: str = "sign_1PrDkbECjgdsBmMfEUQyCnioCP-csLbd2AAAAEQ"


@dataclass(frozen=True)
class NamedSignal:
    name: str


@dataclass(frozen=True)
class SendSignal:
    name: str
    result: bytes | Failure
    target: str = "inv_other"


@dataclass(frozen=True)
class CancelOther:
    target: str = "inv_other"


@dataclass(frozen=True)
class GetPromise:
    key: str


@dataclass(frozen=True)
class PeekPromise:
    key: str


@dataclass(frozen=True)
class CompletePromise:
    key: str
    result: bytes | Failure


@dataclass(frozen=True)
class Attach:
    target: str = "inv_other"


@dataclass(frozen=True)
class Tree:
    """A combination of slots, later of handles; `first` or `all` of its children complete it."""

    kind: str
    children: tuple[Handle | Tree, ...]


@dataclass(frozen=True)
class Await:
    """Await handles by the order in which the program got them. Numbers wrap around."""

    tree: Handle | Tree


@dataclass(frozen=True)
class Return:
    result: bytes | Failure = b'"done"'


Step = (
    Run
    | Sleep
    | Call
    | Send
    | GetState
    | GetKeys
    | SetState
    | ClearState
    | ClearAll
    | Awakeable
    | CompleteAwakeable
    | NamedSignal
    | SendSignal
    | CancelOther
    | GetPromise
    | PeekPromise
    | CompletePromise
    | Attach
    | Await
    | Return
)


@dataclass(frozen=True)
class Program:
    """A handler and the world it runs in.

    Attributes:
        steps: What it does; a `Return` is the last one.
        state: Eager state that Start brings.
        partial: Whether that is only a part of it.
        later: Completion ids that the runtime completes only when nothing else can happen.
        failing: Completion ids of calls, promises and attached invocations that end with a failure.
        signals: Signals by the number of commands after which they arrive: index or name, and result.
        proposals_reversed: Whether steps that execute at once finish in the reverse order.
        compensates: Whether it goes on after a cancellation, instead of failing with it.
        start_fields: Further fields of Start.
    """

    steps: tuple[Step, ...]
    state: tuple[tuple[str, bytes], ...] = ()
    partial: bool = True
    later: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()
    signals: tuple[tuple[int, int | str, bytes | Failure | None], ...] = ()
    proposals_reversed: bool = False
    compensates: bool = False
    start_fields: dict[str, object] = field(default_factory=dict[str, object], hash=False)


KEYS = st.sampled_from(["a", "b", "ключ", ""])
NAMES = st.sampled_from(["", "charge", "x" * 200, "né"])
VALUES = st.sampled_from([b"", b"1", b'{"a": 1}', b"v" * 127, b"w" * 300])
FAILURES = st.builds(Failure, st.integers(1, 599), st.sampled_from(["", "no", "kaputt ☠"]))
RESULTS = st.one_of(VALUES, FAILURES)
SIGNAL_NAMES = st.sampled_from(["go", "stop"])
HEADERS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["", "1"])), max_size=2).map(tuple)

STARTING_STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Run, NAMES, RESULTS),
    st.builds(Sleep, st.integers(0, 10**6), NAMES),
    st.builds(Call, parameter=VALUES, key=KEYS, idempotency_key=st.sampled_from([None, "i"]), headers=HEADERS),
    st.builds(Send, parameter=VALUES, key=KEYS, delay_ms=st.sampled_from([None, 5]), headers=HEADERS),
    st.builds(GetState, KEYS),
    st.builds(GetKeys),
    st.builds(Awakeable),
    st.builds(NamedSignal, SIGNAL_NAMES),
    st.builds(GetPromise, KEYS),
    st.builds(PeekPromise, KEYS),
    st.builds(CompletePromise, KEYS, RESULTS),
    st.builds(Attach),
)
PLAIN_STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(SetState, KEYS, VALUES),
    st.builds(ClearAll),
    st.builds(CompleteAwakeable, RESULTS),
    st.builds(SendSignal, SIGNAL_NAMES, RESULTS),
    st.builds(CancelOther),
)
TREES: st.SearchStrategy[Handle | Tree] = st.recursive(
    st.integers(0, 9),
    lambda children: st.builds(
        Tree, st.sampled_from(["first", "all"]), st.lists(children, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)


STEPS: st.SearchStrategy[Step] = st.one_of(STARTING_STEPS, st.builds(Await, TREES), PLAIN_STEPS)


@st.composite
def edits(draw: st.DrawFn, program: Program) -> Program:
    """Draw what could become of a program between two deployments: a step replaced, added, removed or moved."""
    steps = list(program.steps)
    at = draw(st.integers(0, len(steps) - 1))
    match draw(st.sampled_from(["replace", "insert", "remove", "move"])):
        case "replace":
            steps[at] = draw(STEPS)
        case "insert":
            steps.insert(at, draw(STEPS))
        case "remove":
            del steps[at]
        case _:
            steps.insert(draw(st.integers(0, len(steps) - 1)), steps.pop(at))
    if not steps or not isinstance(steps[-1], Return):
        steps.append(Return())
    return replace(
        program, steps=tuple(steps[: 1 + next(i for i, step in enumerate(steps) if isinstance(step, Return))])
    )


@st.composite
def programs(draw: st.DrawFn, max_steps: int = 10) -> Program:
    """Draw a program. It clears no single keys, because the machines differ in what keys they then list."""
    steps = draw(
        st.lists(
            st.one_of(STARTING_STEPS, st.builds(Await, TREES), PLAIN_STEPS, st.builds(Await, TREES)),
            min_size=1,
            max_size=max_steps,
        )
    )
    return Program(
        steps=(*steps, Return(draw(RESULTS))),
        state=tuple(draw(st.dictionaries(KEYS, VALUES, max_size=2)).items()),
        partial=draw(st.booleans()),
        later=draw(st.frozensets(st.integers(1, 12), max_size=6)),
        failing=draw(st.frozensets(st.integers(1, 12), max_size=3)),
        signals=tuple(
            draw(
                st.lists(
                    st.tuples(
                        st.integers(0, 8), st.sampled_from([17, 18, "go", "stop"]), st.one_of(st.none(), RESULTS)
                    ),
                    max_size=3,
                )
            )
            + draw(st.sampled_from([[], [], [(3, 1, None)], [(2, 1, None), (4, 1, None)]]))
        ),
        compensates=draw(st.booleans()),
        proposals_reversed=draw(st.booleans()),
    )
