"""What can be chosen about a service or a handler.

Owns the options as one frozen value each, checked where they are written down. The runtime obeys them; they
reach it in the manifest. A handler's value overrides its service's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from durably.errors import ConfigurationError

if TYPE_CHECKING:
    from durably.authoring.step_managers import StepManagerFactory

__all__ = ["ContextManagerFactory", "HandlerOptions", "InvocationRetryPolicy", "StatePreload", "preload"]

ContextManagerFactory: TypeAlias = (
    Callable[[], AbstractAsyncContextManager[Any]] | Callable[[], AbstractContextManager[Any]]
)
"""Makes a context manager that is entered around each attempt; for a `def` handler it must be a synchronous one."""

StatePreload: TypeAlias = bool | list[str]
"""True: all state travels with each attempt; False: none; a list: these keys."""

OnMaxAttempts = Literal["pause", "kill"]


@dataclass(frozen=True, slots=True)
class InvocationRetryPolicy:
    """How the runtime repeats failed attempts; None leaves a value to the runtime's configuration.

    Attributes:
        initial_interval: Pause before the second attempt.
        exponentiation_factor: Each pause is the one before times this; at least 1.
        max_interval: The longest pause.
        max_attempts: How many attempts in all, the first included; at least 1.
        on_max_attempts: Then the invocation is paused for an operator, or killed.

    Source: endpoint manifest, retry policy fields (manifest v4).
    """

    initial_interval: timedelta | None = None
    exponentiation_factor: float | None = None
    max_interval: timedelta | None = None
    max_attempts: int | None = None
    on_max_attempts: OnMaxAttempts | None = None

    def __post_init__(self) -> None:
        """Refuse what no runtime could obey.

        Raises:
            ConfigurationError: Names the value.
        """
        _check_duration("initial_interval", self.initial_interval)
        _check_duration("max_interval", self.max_interval)
        if self.exponentiation_factor is not None and not self.exponentiation_factor >= 1:
            raise ConfigurationError(f"exponentiation_factor must be 1 or more, not {self.exponentiation_factor!r}.")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ConfigurationError(
                f"max_attempts must be 1 or more, not {self.max_attempts!r}.", hint="Leave it out to retry for ever."
            )
        if self.on_max_attempts is not None and self.on_max_attempts not in get_args(OnMaxAttempts):
            raise ConfigurationError(f"on_max_attempts must be 'pause' or 'kill', not {self.on_max_attempts!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerOptions:
    """The options of a service or of one handler; None leaves a value to the service, then to the runtime.

    Attributes:
        metadata: Shown to operators.
        inactivity_timeout: Idle time after which the runtime asks the attempt to suspend.
        abort_timeout: Further time after which it aborts the attempt.
        journal_retention: How long a journal is kept after completion.
        idempotency_retention: How long the result of an idempotent request is kept.
        workflow_retention: How long a finished workflow run is kept; only its run handler has it.
        enable_lazy_state: The older form of `state_preload`: True is `state_preload=False`.
        state_preload: Which state travels with each attempt.
        ingress_private: True lets only other handlers call it.
        invocation_retry_policy: How failed attempts are repeated.
        explicit_cancellation: True leaves cancellation to the handler, which then awaits it itself.
        context_managers: Entered around each attempt, the first one outermost.
        step_managers: Make what is entered around each executed step, the first one outermost.
    """

    metadata: Mapping[str, str] | None = None
    inactivity_timeout: timedelta | None = None
    abort_timeout: timedelta | None = None
    journal_retention: timedelta | None = None
    idempotency_retention: timedelta | None = None
    workflow_retention: timedelta | None = None
    enable_lazy_state: bool | None = None
    state_preload: bool | tuple[str, ...] | None = None
    ingress_private: bool | None = None
    invocation_retry_policy: InvocationRetryPolicy | None = None
    explicit_cancellation: bool | None = None
    context_managers: tuple[ContextManagerFactory, ...] = field(default=())
    step_managers: tuple[StepManagerFactory, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what no runtime could obey.

        Raises:
            ConfigurationError: Names the option.
        """
        for name in (
            "inactivity_timeout",
            "abort_timeout",
            "journal_retention",
            "idempotency_retention",
            "workflow_retention",
        ):
            _check_duration(name, getattr(self, name))
        if self.enable_lazy_state is not None and self.state_preload is not None:
            raise ConfigurationError(
                "state_preload and enable_lazy_state say the same thing and cannot both be set.",
                hint="Use state_preload alone.",
            )
        for key, value in (self.metadata or {}).items():
            if not all(isinstance(each, str) for each in (key, value)):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError(f"metadata holds strings only; {key!r} is {value!r}.")

    @property
    def lazy_state(self) -> bool | None:
        """Whether state stays behind unless asked for; None leaves it to the runtime."""
        if self.state_preload is None:
            return self.enable_lazy_state
        return self.state_preload is not True

    @property
    def eager_state_keys(self) -> tuple[str, ...] | None:
        """With lazy state, the keys that travel all the same."""
        return self.state_preload or None if isinstance(self.state_preload, tuple) else None


def preload(value: StatePreload | None) -> bool | tuple[str, ...] | None:
    """Freeze a `state_preload` argument."""
    return tuple(value) if isinstance(value, list) else value


def _check_duration(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, timedelta):
        raise ConfigurationError(f"{name} must be a timedelta, not {value!r}.", hint=f"{name}=timedelta(seconds=…)")
    if value < timedelta(0):
        raise ConfigurationError(f"{name} cannot be negative: {value}.")
