"""Await trees: when they are resolved, what remains of them, and how that is written."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.errors import LocalProtocolError
from durably.machine import Combinator, Combined, Failure, Handle, Result
from durably.machine.waiting import MAX_DEPTH, AwaitTree, Outcome, Pending, awaiting_on_of, future_of, suspension_of
from durably.protocol import messages
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import V5, V6, V7

FIRST = Combinator.FIRST_COMPLETED
ALL = Combinator.ALL_COMPLETED
ANY = Combinator.FIRST_SUCCEEDED_OR_ALL_FAILED
EACH = Combinator.ALL_SUCCEEDED_OR_FIRST_FAILED
UNKNOWN = Combinator.UNKNOWN
FAILED = Failure(500, "no")


def of(combinator: Combinator, *children: AwaitTree) -> Combined:
    """Combine."""
    return Combined(combinator, children)


@pytest.mark.parametrize(
    ("combinator", "ready", "outcome", "left"),
    [
        (FIRST, {}, Outcome.PENDING, {1, 2}),
        (FIRST, {2: None}, Outcome.DECIDED, None),
        (FIRST, {2: FAILED}, Outcome.DECIDED, None),
        (UNKNOWN, {1: FAILED}, Outcome.DECIDED, None),
        (UNKNOWN, {}, Outcome.PENDING, {1, 2}),
        (ALL, {1: FAILED}, Outcome.PENDING, {2}),
        (ALL, {1: FAILED, 2: b""}, Outcome.SUCCEEDED, set[Handle]()),
        (ANY, {1: FAILED}, Outcome.PENDING, {2}),
        (ANY, {1: FAILED, 2: b""}, Outcome.DECIDED, None),
        (ANY, {1: FAILED, 2: FAILED}, Outcome.FAILED, set[Handle]()),
        (EACH, {1: b""}, Outcome.PENDING, {2}),
        (EACH, {1: b"", 2: None}, Outcome.SUCCEEDED, set[Handle]()),
        (EACH, {2: FAILED}, Outcome.DECIDED, None),
    ],
)
def test_core_combinators(
    combinator: Combinator, ready: dict[Handle, Result], outcome: Outcome, left: set[Handle] | None
):
    """Each combinator completes as its row of the table says, and keeps only what is still awaited."""
    pending = Pending(of(combinator, 1, 2))
    assert pending.evaluate(ready) is outcome
    if left is not None:
        assert set(pending.leaves()) == left


@pytest.mark.parametrize("combinator", Combinator)
def test_core_empty_combinators(combinator: Combinator):
    """Nothing to wait for is done at once, but the first of nothing never comes."""
    expected = {FIRST: Outcome.PENDING, UNKNOWN: Outcome.PENDING, ANY: Outcome.FAILED}
    assert Pending(of(combinator)).evaluate({}) is expected.get(combinator, Outcome.SUCCEEDED)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3, 4])))
def test_core_nested_combinators_in_every_order(order: tuple[int, ...]):
    """ALL of a race and two handles: a race that is decided stops the evaluation, whatever came first."""
    tree = of(ALL, of(FIRST, 1, 2), of(ALL, 3, 4))
    pending = Pending(tree)
    ready: dict[Handle, Result] = {}
    for handle in order:
        ready[handle] = b""
        outcome = pending.evaluate(ready)
        if ready.keys() & {1, 2}:
            assert outcome is Outcome.DECIDED
            return
        assert outcome is Outcome.PENDING
        assert set(pending.leaves()) == {1, 2, 3, 4} - ready.keys()


def expected(tree: AwaitTree, ready: dict[Handle, Result]) -> Outcome:
    """Evaluate a tree without short cuts, to compare with."""
    if not isinstance(tree, Combined):
        if tree not in ready:
            return Outcome.PENDING
        return Outcome.FAILED if isinstance(ready[tree], Failure) else Outcome.SUCCEEDED
    found = [expected(child, ready) for child in tree.children]
    if Outcome.DECIDED in found:
        return Outcome.DECIDED
    decisive = {
        FIRST: {Outcome.SUCCEEDED, Outcome.FAILED},
        UNKNOWN: {Outcome.SUCCEEDED, Outcome.FAILED},
        ALL: set[Outcome](),
        ANY: {Outcome.SUCCEEDED},
        EACH: {Outcome.FAILED},
    }[tree.combinator]
    if decisive & set(found):
        return Outcome.DECIDED
    if Outcome.PENDING in found or tree.combinator in (FIRST, UNKNOWN):
        return Outcome.PENDING
    return Outcome.FAILED if tree.combinator is ANY else Outcome.SUCCEEDED


TREES: st.SearchStrategy[AwaitTree] = st.recursive(
    st.integers(1, 6),
    lambda children: st.builds(Combined, st.sampled_from(Combinator), st.lists(children, max_size=4).map(tuple)),
    max_leaves=10,
)


@given(
    tree=TREES.filter(lambda tree: isinstance(tree, Combined)),
    steps=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([b"", FAILED])), max_size=6),
)
def test_core_progressive_and_batch_agree(tree: Combined, steps: list[tuple[int, bytes | Failure]]):
    """Evaluating after each completion, with pruning, finds what evaluating everything from scratch finds."""
    pending = Pending(tree)
    ready: dict[Handle, Result] = {}
    for handle, result in steps:
        if handle in ready:
            continue
        ready[handle] = result
        outcome = pending.evaluate(ready)
        assert outcome is expected(tree, ready)
        if outcome is not Outcome.PENDING:
            return
        assert not set(pending.leaves()) & ready.keys()


def test_leaves_of_a_combinator_come_before_those_inside():
    """The lists of V5 and V6 have the order in which the peer writes them."""
    assert list(Pending(of(ALL, of(FIRST, 1, -17), 2, of(ALL, of(ALL, "x"), 3))).leaves()) == [2, 1, -17, 3, "x"]


def test_core_future_of_one_handle():
    """A lone handle is the first of one, with the cancellation beside it."""
    assert future_of(3, with_cancel=True) == messages.Future(
        waiting_completions=[3], waiting_signals=[1], combinator_type=1
    )
    assert future_of("go", with_cancel=False) == messages.Future(waiting_named_signals=["go"], combinator_type=1)


def test_core_future_of_a_tree():
    """Leaves stand in their combinator's lists, combinators inside as nested futures; the cancellation is outside."""
    pending = Pending(of(ALL, 1, -17, "go", of(UNKNOWN, 2), of(ANY, 3)))
    inner = messages.Future(
        waiting_completions=[1],
        waiting_signals=[17],
        waiting_named_signals=["go"],
        nested_futures=[
            messages.Future(waiting_completions=[2], combinator_type=0),
            messages.Future(waiting_completions=[3], combinator_type=3),
        ],
        combinator_type=2,
    )
    assert future_of(pending, with_cancel=False) == inner
    assert future_of(pending, with_cancel=True) == messages.Future(
        waiting_signals=[1], nested_futures=[inner], combinator_type=1
    )


@pytest.mark.parametrize("version", [V5, V6])
@pytest.mark.parametrize("with_cancel", [True, False])
def test_core_suspension_is_flat_before_v7(version: ProtocolVersion, with_cancel: bool):
    """V5 and V6 list every leaf, and the cancellation where the peer puts it."""
    cancel = [1] if with_cancel else []
    assert suspension_of(-17, version, with_cancel=with_cancel) == messages.Suspension(waiting_signals=[17, *cancel])
    pending = Pending(of(ALL, 1, -17, of(FIRST, 2, "go")))
    assert suspension_of(pending, version, with_cancel=with_cancel) == messages.Suspension(
        waiting_completions=[1, 2], waiting_signals=[*cancel, 17], waiting_named_signals=["go"]
    )


def test_core_suspension_is_a_tree_in_v7():
    """V7 writes the future."""
    assert suspension_of(2, V7, with_cancel=True) == messages.Suspension(awaiting_on=future_of(2, with_cancel=True))


@pytest.mark.parametrize("handle", [1, 2, 127, 128, 255, 256, 16383, 16384, 70000, -17, "go"])
@pytest.mark.parametrize("with_cancel", [True, False])
def test_awaiting_on_is_the_same_written_by_hand(handle: Handle, with_cancel: bool):
    """The short cut for the usual wait gives the bytes of the general way."""
    message = messages.AwaitingOn(awaiting_on=future_of(handle, with_cancel=with_cancel))
    assert awaiting_on_of(handle, with_cancel=with_cancel) == message.SerializeToString()


def nested(depth: int) -> Combined:
    """Combine one handle `depth` times."""
    tree: AwaitTree = 7
    for _ in range(depth):
        tree = of(ALL, tree)
    assert isinstance(tree, Combined)
    return tree


def test_deep_trees_can_be_written():
    """A tree deeper than parsers accept is written as one future of its leaves below a depth that they do."""
    data = future_of(Pending(nested(MAX_DEPTH)), with_cancel=True).SerializeToString()
    future = messages.Future.FromString(data)
    depth = 1
    while future.nested_futures:
        future = future.nested_futures[0]
        depth += 1
    assert depth <= 61
    assert list(future.waiting_completions) == [7]
    assert future.combinator_type == UNKNOWN


def test_too_deep_trees_are_refused():
    """A tree deeper than the limit is the handler's error, before anything was written."""
    with pytest.raises(LocalProtocolError, match="levels deep") as caught:
        Pending(nested(MAX_DEPTH + 1))
    assert caught.value.code == 500
