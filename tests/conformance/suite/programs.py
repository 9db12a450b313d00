"""Random programs for the interpreter, and what they must add up to.

Owns the generator and the prediction. The same seed gives the same programs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.conformance.services.interpretation import LAYERS, Kind, layer_name

__all__ = ["Increments", "generate", "predict"]

Increments = Counter[tuple[str, str]]  # by (service name, object key)

MOST_COMMANDS: Final = 20
AWAIT_CHANCE: Final = 0.8
STATE_KEYS: Final = 6
LONGEST_MS: Final = 40
# Each rank is a quarter as likely as the one before it.
_RANKS: Final[Sequence[Sequence[Kind]]] = (
    (Kind.SET_STATE, Kind.GET_STATE, Kind.CLEAR_STATE, Kind.INCREMENT, Kind.INCREMENT_INDIRECTLY, Kind.RUN, Kind.CALL),
    (Kind.CALL_NEXT_LAYER, Kind.INCREMENT_LATER, Kind.DANCE, Kind.RESOLVED_AWAKEABLE, Kind.REJECTED_AWAKEABLE),
    (Kind.SLEEP, Kind.CALL_SLOW, Kind.FLAKY_RUN, Kind.SLOW_RUN, Kind.RECOVER_FAILURE, Kind.OPEN_FAILURE),
)
_OPENING: Final = frozenset(
    {
        Kind.CALL,
        Kind.CALL_SLOW,
        Kind.CALL_NEXT_LAYER,
        Kind.OPEN_FAILURE,
        Kind.RESOLVED_AWAKEABLE,
        Kind.REJECTED_AWAKEABLE,
    }
)
_INCREMENTING: Final = frozenset({Kind.INCREMENT, Kind.INCREMENT_INDIRECTLY, Kind.INCREMENT_LATER, Kind.DANCE})


def generate(rng: random.Random, keys: Sequence[str], layer: int = 0) -> dict[str, Any]:
    """Make a program for an object of a layer.

    Args:
        rng: Where all choices come from.
        keys: The keys of objects in the layers below.
        layer: The layer that will execute it; the last one calls no other.
    """
    kinds, weights = _weighted(layer)
    commands: list[dict[str, Any]] = []
    unawaited: list[int] = []
    for _ in range(rng.randint(1, MOST_COMMANDS // (layer + 1))):
        kind = rng.choices(kinds, weights)[0]
        if kind in _OPENING:
            unawaited.append(len(commands))
        commands.append({"kind": int(kind), **_fields(rng, kind, keys, layer)})
        if unawaited and rng.random() < AWAIT_CHANCE:
            commands.append({"kind": int(Kind.AWAIT), "index": unawaited.pop(0)})
    commands.extend({"kind": int(Kind.AWAIT), "index": index} for index in unawaited if rng.random() < AWAIT_CHANCE)
    return {"commands": commands}


def predict(program: Mapping[str, Any], layer: int, key: str) -> Increments:
    """Count the increments that a program leads to, by object."""
    increments: Increments = Counter()
    for command in program["commands"]:
        if command["kind"] in _INCREMENTING:
            increments[layer_name(layer), key] += 1
        elif command["kind"] == Kind.CALL_NEXT_LAYER:
            increments += predict(command["program"], layer + 1, command["key"])
    return increments


def _weighted(layer: int) -> tuple[list[Kind], list[float]]:
    kinds: list[Kind] = []
    weights: list[float] = []
    for rank, members in enumerate(_RANKS):
        allowed = [kind for kind in members if layer + 1 < LAYERS or kind is not Kind.CALL_NEXT_LAYER]
        kinds += allowed
        weights += [0.25**rank] * len(allowed)
    return kinds, weights


def _fields(rng: random.Random, kind: Kind, keys: Sequence[str], layer: int) -> dict[str, Any]:
    match kind:
        case Kind.SET_STATE | Kind.GET_STATE | Kind.CLEAR_STATE:
            return {"key": rng.randrange(STATE_KEYS)}
        case Kind.SLEEP | Kind.INCREMENT_LATER:
            return {"duration": rng.randint(1, LONGEST_MS)}
        case Kind.CALL_SLOW:
            return {"sleep": rng.randint(1, LONGEST_MS)}
        case Kind.CALL_NEXT_LAYER:
            return {"key": rng.choice(keys), "program": generate(rng, keys, layer + 1)}
        case _:
            return {}
