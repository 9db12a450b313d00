"""What the test kit sees and changes inside attempts.

Owns the probe of a harness: the clock that handlers go by, the stand-ins for steps, where in the handler's code each
command comes from, and which handlers swallowed the signal that ended their attempt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from durably.authoring.location import caller_location, handled_location
from durably.authoring.runs import is_coroutine_action
from durably.machine import Machine, MachineOptions
from durably.protocol.versions import ProtocolVersion

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.engine.clock import Clock

__all__ = ["Stub", "Swallowed", "Watch", "WatchedMachine"]


@dataclass(frozen=True, slots=True)
class Stub:
    """What stands in for a step.

    Attributes:
        returns: What the step gives.
        raises: What it raises instead, or None.
        calls: Called with the step's arguments for what it gives, or None.
    """

    returns: Any = None
    raises: BaseException | None = None
    calls: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True)
class Swallowed:
    """A handler that went on after its attempt had ended.

    Attributes:
        target: `service/handler`.
        location: Where it caught the signal, `file:line in function`, or None.
    """

    target: str
    location: str | None


class WatchedMachine(Machine):
    """A machine that notes where in the handler's code each command was made."""

    __slots__ = ("_watch",)

    _watch: Watch

    def watch(self, watch: Watch) -> None:
        """Say who is told."""
        self._watch = watch

    def _journal(self, kind: int, name: str, payload: bytes) -> None:
        if self._start is not None:
            self._watch.note(self._start.debug_id, self._command_index + 1)
        super()._journal(kind, name, payload)


class Watch:
    """The probe of one harness; see `durably.authoring.probes.Probe`.

    Attributes:
        swallowed_by: Handlers that swallowed their signal, oldest first.
        stubbed: How often each stub was used, by the step's name.
    """

    def __init__(self, clock: Clock, *, with_locations: bool = False) -> None:
        """Go by `clock`; note the location of every command if asked, which costs time."""
        self._clock = clock
        self._with_locations = with_locations
        self._stubs: dict[str, Stub] = {}
        self._locations: dict[tuple[str, int], str] = {}
        self.swallowed_by: list[Swallowed] = []
        self.stubbed: dict[str, int] = {}

    def stub(self, name: str, stub: Stub) -> None:
        """Let `stub` stand in for the steps of this name."""
        self._stubs[name] = stub

    def location(self, invocation_id: str, command_index: int) -> str | None:
        """Tell where a command was made first, `file:line in function`, if that was noted."""
        return self._locations.get((invocation_id, command_index))

    def note(self, invocation_id: str, command_index: int) -> None:
        """Note where the command comes from that is being made."""
        key = (invocation_id, command_index)
        if key not in self._locations:
            self._locations[key] = caller_location() or ""

    # ---- what attempts ask and tell

    def now_ms(self) -> int:
        """Tell the time of the harness."""
        return self._clock.now_ms()

    def machine(self, version: ProtocolVersion, options: MachineOptions) -> Machine:
        """Make the machine of an attempt."""
        if not self._with_locations:
            return Machine(version, options, locate=caller_location)
        machine = WatchedMachine(version, options, locate=caller_location)
        machine.watch(self)
        return machine

    def step(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """Give the stub of this step, or the step."""
        stub = self._stubs.get(name)
        return action if stub is None else self._standing_in(name, action, stub)

    def swallowed(self, context: Context, outcome: object) -> None:
        """Note a handler that caught what was to unwind it."""
        signal = context.ended
        handler = context.handler
        location = None if signal is None else handled_location(signal)
        self.swallowed_by.append(Swallowed(f"{handler.service_name}/{handler.name}", location))

    def _standing_in(self, name: str, action: Callable[..., Any], stub: Stub) -> Callable[..., Any]:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            self.stubbed[name] = self.stubbed.get(name, 0) + 1
            if stub.raises is not None:
                raise stub.raises
            return stub.returns if stub.calls is None else stub.calls(*args, **kwargs)

        if not is_coroutine_action(action):
            return stand_in

        async def stand_in_later(*args: Any, **kwargs: Any) -> Any:
            given = stand_in(*args, **kwargs)
            return await given if inspect.isawaitable(given) else given

        return stand_in_later
