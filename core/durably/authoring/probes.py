"""What a test kit puts between the attempts of one engine and the rest of the world.

Owns the interface and the context variable that carries it: another clock, stand-ins for steps, a machine that tells
more, and somebody who is told when a handler swallows the signal that ended its attempt. In production there is none.

The variable is set around an attempt; its tasks, threads and steps inherit it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.machine import Machine, MachineOptions
    from durably.protocol.versions import ProtocolVersion

__all__ = ["Probe", "probe"]


class Probe(Protocol):
    """What is asked and told; called on the loop and on the threads of handlers."""

    def now_ms(self) -> int:
        """Tell the time that handlers go by, epoch in ms."""
        ...

    def machine(self, version: ProtocolVersion, options: MachineOptions) -> Machine:
        """Make the machine of an attempt."""
        ...

    def step(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """Give what is executed for a step that has no result yet: `action`, or what stands in for it."""
        ...

    def swallowed(self, context: Context, outcome: object) -> None:
        """Take note of a handler that went on after its attempt had ended, and returned or raised `outcome`."""
        ...


probe: ContextVar[Probe | None] = ContextVar("durably_probe", default=None)
"""Who looks on here, or None."""
