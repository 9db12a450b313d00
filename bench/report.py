"""How a measurement is shown, and when it counts as kept."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Claim:
    """One row: what was measured on each side, and what was promised.

    Attributes:
        what: The thing measured.
        durably: Its figure, with the unit.
        peer: The figure of restate-sdk, or "".
        floor: The figure of the hand-made endpoint, or "".
        ratio: durably to what it is compared with; or the plain figure, if `unit` is set.
        target: The most that `ratio` may be; None where nothing was promised.
        unit: Unit of `ratio` and `target`; "" for a true ratio.
    """

    what: str
    durably: str
    peer: str = ""
    floor: str = ""
    ratio: float = 0.0
    target: float | None = None
    unit: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the measurement is within the target."""
        return self.target is None or self.ratio <= self.target


def print_claims(
    title: str, found: list[Claim], columns: tuple[str, str, str] = ("durably", "restate-sdk", "by hand")
) -> bool:
    """Print a table; tell whether every claim was kept."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for column in (*columns, "ratio", "target"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for claim in found:
        limit = "" if claim.target is None else f"≤ {claim.target:g}{claim.unit}"
        verdict = "" if claim.target is None else "[green]kept" if claim.is_kept else "[red]missed"
        digits = f"{claim.ratio:.3g}{claim.unit}" if claim.unit else f"{claim.ratio:.3f}"
        table.add_row(claim.what, claim.durably, claim.peer, claim.floor, digits, limit, verdict)
    Console(width=118).print(table)
    return all(claim.is_kept for claim in found)
