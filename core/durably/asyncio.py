"""Waiting for several durable futures in an `async def` handler.

Owns nothing: `durably.authoring.combinators` does. `def` handlers use `durably.sync`.
"""

from durably.authoring.combinators import (
    all_of,
    all_settled,
    any,
    as_completed,
    gather,
    race,
    select,
    wait_completed,
)

__all__ = ["all_of", "all_settled", "any", "as_completed", "gather", "race", "select", "wait_completed"]
