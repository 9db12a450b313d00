"""Random programs under random trouble, on both state machines at once: whatever happens, the promises hold."""

from __future__ import annotations

import pytest

from tests.engine.core.oracles import check
from tests.engine.core.world import World


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int):
    """Requests, cuts, half-closes, crashes, operators and time in any order leave nothing lost, doubled or stuck."""
    world = World(seed)
    for _ in range(300):
        roll = world.dice.random()
        if roll < 0.06:
            world.request()
        elif roll < 0.10:
            world.disturb()
        else:
            world.settle()
    world.finish()
    check(world)
