"""Workflows: one run for each key, with state, promises and handlers beside it.

Owns `Workflow` and its options; the registration itself is in `authoring.services`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from durably.authoring.options import (
    ContextManagerFactory,
    HandlerOptions,
    InvocationRetryPolicy,
    StatePreload,
    preload,
)
from durably.authoring.services import AnyFailures, DefinedService, with_retention
from durably.authoring.signatures import HandlerKind, ServiceKind
from durably.authoring.step_managers import StepManagerFactory
from durably.serde import DEFAULT_SERDE, Serde

__all__ = ["Workflow"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Workflow(DefinedService):
    """A workflow: its main handler runs once for each key; the other handlers query and signal that run."""

    kind: ClassVar[ServiceKind] = ServiceKind.WORKFLOW

    def __init__(
        self,
        name: str,
        description: str | None = None,
        metadata: dict[str, str] | None = None,
        inactivity_timeout: timedelta | None = None,
        abort_timeout: timedelta | None = None,
        journal_retention: timedelta | None = None,
        idempotency_retention: timedelta | None = None,
        enable_lazy_state: bool | None = None,
        state_preload: StatePreload | None = None,
        ingress_private: bool | None = None,
        invocation_retry_policy: InvocationRetryPolicy | None = None,
        invocation_context_managers: list[ContextManagerFactory] | None = None,
        *,
        failures: AnyFailures = None,
        explicit_cancellation: bool | None = None,
        step_managers: Iterable[StepManagerFactory] = (),
    ) -> None:
        """Define a workflow; the options hold for all its handlers unless a handler says otherwise.

        Args:
            name: As callers write it in a path.
            description: Shown to operators.
            metadata: Shown to operators.
            inactivity_timeout: Idle time after which the runtime asks an attempt to suspend.
            abort_timeout: Further time after which the runtime aborts it.
            journal_retention: How long journals are kept after completion.
            idempotency_retention: How long results of idempotent requests are kept.
            enable_lazy_state: The older form of `state_preload`: True is `state_preload=False`.
            state_preload: Which state travels with each attempt: True all, False none, a list these keys.
            ingress_private: True lets only other handlers call it.
            invocation_retry_policy: How failed attempts are repeated.
            invocation_context_managers: Entered around each attempt, the first one outermost.
            failures: Exception classes that are terminal, with their status.
            explicit_cancellation: True leaves cancellation to the handlers.
            step_managers: Make what is entered around each executed step, the first one outermost.

        Raises:
            RegistrationError: The name cannot work.
            ConfigurationError: An option cannot.
        """
        options = HandlerOptions(
            metadata=metadata,
            inactivity_timeout=inactivity_timeout,
            abort_timeout=abort_timeout,
            journal_retention=journal_retention,
            idempotency_retention=idempotency_retention,
            enable_lazy_state=enable_lazy_state,
            state_preload=preload(state_preload),
            ingress_private=ingress_private,
            invocation_retry_policy=invocation_retry_policy,
            explicit_cancellation=explicit_cancellation,
            context_managers=tuple(invocation_context_managers or ()),
            step_managers=tuple(step_managers),
        )
        super().__init__(name, description, options, failures)

    def main(
        self,
        name: str | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
        input_serde: Serde[Any] = DEFAULT_SERDE,
        output_serde: Serde[Any] = DEFAULT_SERDE,
        metadata: dict[str, str] | None = None,
        inactivity_timeout: timedelta | None = None,
        abort_timeout: timedelta | None = None,
        journal_retention: timedelta | None = None,
        workflow_retention: timedelta | None = None,
        enable_lazy_state: bool | None = None,
        state_preload: StatePreload | None = None,
        ingress_private: bool | None = None,
        invocation_retry_policy: InvocationRetryPolicy | None = None,
        invocation_context_managers: list[ContextManagerFactory] | None = None,
        *,
        failures: AnyFailures = None,
        explicit_cancellation: bool | None = None,
        step_managers: Iterable[StepManagerFactory] = (),
    ) -> Callable[[FunctionT], FunctionT]:
        """Register the decorated function as the run of this workflow, and give it back.

        The first parameter is the context, the second, if any, the input. Their annotations decide how the input
        and the result are checked and written. Other options are as for the workflow and override its values.

        Args:
            name: The handler's name; the function's unless given.
            accept: Media types of the input; wildcards are allowed.
            content_type: Media type of the result.
            input_serde: How the input is read.
            output_serde: How the result is written.
            metadata: Shown to operators.
            inactivity_timeout: See the workflow.
            abort_timeout: See the workflow.
            journal_retention: See the workflow.
            workflow_retention: How long the finished run is kept.
            enable_lazy_state: See the workflow.
            state_preload: See the workflow.
            ingress_private: See the workflow.
            invocation_retry_policy: See the workflow.
            invocation_context_managers: Entered inside the workflow's.
            failures: Exception classes that are terminal here; they win over the workflow's.
            explicit_cancellation: See the workflow.
            step_managers: Entered inside the workflow's.

        Raises:
            RegistrationError: The name is taken or cannot work, or the signature cannot; names the parameter.
        """
        options = HandlerOptions(
            metadata=metadata,
            inactivity_timeout=inactivity_timeout,
            abort_timeout=abort_timeout,
            journal_retention=journal_retention,
            enable_lazy_state=enable_lazy_state,
            state_preload=preload(state_preload),
            ingress_private=ingress_private,
            invocation_retry_policy=invocation_retry_policy,
            explicit_cancellation=explicit_cancellation,
            context_managers=tuple(invocation_context_managers or ()),
            step_managers=tuple(step_managers),
        )
        run_options = with_retention(options, workflow_retention)
        return self._decorator(
            name, HandlerKind.WORKFLOW, accept, content_type, input_serde, output_serde, run_options, failures
        )

    def handler(
        self,
        name: str | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
        input_serde: Serde[Any] = DEFAULT_SERDE,
        output_serde: Serde[Any] = DEFAULT_SERDE,
        metadata: dict[str, str] | None = None,
        inactivity_timeout: timedelta | None = None,
        abort_timeout: timedelta | None = None,
        journal_retention: timedelta | None = None,
        idempotency_retention: timedelta | None = None,
        enable_lazy_state: bool | None = None,
        state_preload: StatePreload | None = None,
        ingress_private: bool | None = None,
        invocation_retry_policy: InvocationRetryPolicy | None = None,
        invocation_context_managers: list[ContextManagerFactory] | None = None,
        *,
        failures: AnyFailures = None,
        explicit_cancellation: bool | None = None,
        step_managers: Iterable[StepManagerFactory] = (),
    ) -> Callable[[FunctionT], FunctionT]:
        """Register the decorated function as a handler beside the run, and give it back.

        The first parameter is the context, the second, if any, the input. Their annotations decide how the input
        and the result are checked and written. Other options are as for the workflow and override its values.

        Args:
            name: The handler's name; the function's unless given.
            accept: Media types of the input; wildcards are allowed.
            content_type: Media type of the result.
            input_serde: How the input is read.
            output_serde: How the result is written.
            metadata: Shown to operators.
            inactivity_timeout: See the workflow.
            abort_timeout: See the workflow.
            journal_retention: See the workflow.
            idempotency_retention: See the workflow.
            enable_lazy_state: See the workflow.
            state_preload: See the workflow.
            ingress_private: See the workflow.
            invocation_retry_policy: See the workflow.
            invocation_context_managers: Entered inside the workflow's.
            failures: Exception classes that are terminal here; they win over the workflow's.
            explicit_cancellation: See the workflow.
            step_managers: Entered inside the workflow's.

        Raises:
            RegistrationError: The name is taken or cannot work, or the signature cannot; names the parameter.
        """
        options = HandlerOptions(
            metadata=metadata,
            inactivity_timeout=inactivity_timeout,
            abort_timeout=abort_timeout,
            journal_retention=journal_retention,
            idempotency_retention=idempotency_retention,
            enable_lazy_state=enable_lazy_state,
            state_preload=preload(state_preload),
            ingress_private=ingress_private,
            invocation_retry_policy=invocation_retry_policy,
            explicit_cancellation=explicit_cancellation,
            context_managers=tuple(invocation_context_managers or ()),
            step_managers=tuple(step_managers),
        )
        return self._decorator(
            name, HandlerKind.SHARED, accept, content_type, input_serde, output_serde, options, failures
        )
