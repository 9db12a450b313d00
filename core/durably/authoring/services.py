"""Services: named groups of handlers without state of their own.

Owns what the three kinds of service share (name, options, the registration of handlers) and the plain `Service`.
Objects and workflows stand in `authoring.objects` and `authoring.workflows`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Final, TypeVar

from durably.authoring.failures import FailureMap, FailureRule
from durably.authoring.handlers import Handler, HandlerDefinition, attach_handler, make_handler
from durably.authoring.options import ContextManagerFactory, HandlerOptions, InvocationRetryPolicy
from durably.authoring.signatures import HandlerKind, ServiceKind
from durably.authoring.step_managers import StepManagerFactory
from durably.errors import ConfigurationError, RegistrationError
from durably.serde import DEFAULT_SERDE, Serde

__all__ = ["AnyFailures", "DefinedService", "Service", "keyed_handler_kind", "with_retention"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

AnyFailures = FailureMap | Mapping[type[BaseException], FailureRule] | None
"""What `failures=` takes: exception classes with a status or a function to a `TerminalError`."""

_NAME: Final = re.compile(r"([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9._-]*")


class DefinedService:
    """What `Service`, `VirtualObject` and `Workflow` have in common.

    Attributes:
        name: As callers write it in a path.
        description: Shown to operators.
        options: What the runtime is told about all its handlers.
        failures: Which exceptions are terminal in all its handlers.
        handlers: The handlers by name, in the order of registration.
    """

    kind: ClassVar[ServiceKind]
    name: str

    def __init__(
        self, name: str, description: str | None, options: HandlerOptions, failures: AnyFailures = None
    ) -> None:
        """Check the name and keep the rest.

        Raises:
            RegistrationError: The runtime would refuse the name.
        """
        if not _NAME.fullmatch(name):
            raise RegistrationError(
                f"{name!r} cannot be the name of a service.",
                hint="Use letters, digits, '.', '_' and '-', beginning with a letter.",
            )
        if name.lower().startswith(("restate", "openapi")):
            raise RegistrationError(f"{name!r} cannot be the name of a service: its beginning is reserved.")
        self.name = name
        self.description = description
        self.options = options
        self.failures: FailureMap = FailureMap.of(failures)
        self.handlers: dict[str, Handler] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {', '.join(self.handlers) or 'no handlers'}>"

    @property
    def metadata(self) -> Mapping[str, str] | None:
        """Shown to operators."""
        return self.options.metadata

    def _decorator(
        self,
        name: str | None,
        kind: HandlerKind,
        accept: str,
        content_type: str,
        input_serde: Serde[Any],
        output_serde: Serde[Any],
        options: HandlerOptions,
        failures: AnyFailures,
    ) -> Callable[[FunctionT], FunctionT]:
        if callable(name):
            raise RegistrationError(
                f"{self.name}: the decorator was used without parentheses.", hint="Write @….handler()."
            )
        definition = HandlerDefinition(
            service_name=self.name,
            service_kind=self.kind,
            kind=kind,
            name=name,
            accept=accept,
            content_type=content_type,
            input_serde=input_serde,
            output_serde=output_serde,
            service_options=self.options,
            options=options,
            failures=self.failures | FailureMap.of(failures),
        )

        def register(function: FunctionT) -> FunctionT:
            handler = make_handler(function, definition)
            if handler.name in self.handlers:
                raise RegistrationError(
                    f"Handler {self.name}/{handler.name} already exists.", hint="Give one of the two name='…'."
                )
            self.handlers[handler.name] = handler
            return attach_handler(function, handler)

        return register


def with_retention(options: HandlerOptions, workflow_retention: timedelta | None) -> HandlerOptions:
    """Add the retention that only a workflow's run handler has."""
    return replace(options, workflow_retention=workflow_retention)


def keyed_handler_kind(value: Any, where: str) -> HandlerKind:
    """Read the `kind=` of an object's handler.

    Raises:
        ConfigurationError: It is none of the two.
    """
    match value:
        case None | "exclusive":
            return HandlerKind.EXCLUSIVE
        case "shared":
            return HandlerKind.SHARED
        case _:
            raise ConfigurationError(f"{where}: kind must be 'exclusive' or 'shared', not {value!r}.")


class Service(DefinedService):
    """A service: handlers that run independently of each other."""

    kind: ClassVar[ServiceKind] = ServiceKind.SERVICE

    def __init__(
        self,
        name: str,
        description: str | None = None,
        metadata: dict[str, str] | None = None,
        inactivity_timeout: timedelta | None = None,
        abort_timeout: timedelta | None = None,
        journal_retention: timedelta | None = None,
        idempotency_retention: timedelta | None = None,
        ingress_private: bool | None = None,
        invocation_retry_policy: InvocationRetryPolicy | None = None,
        invocation_context_managers: list[ContextManagerFactory] | None = None,
        *,
        failures: AnyFailures = None,
        explicit_cancellation: bool | None = None,
        step_managers: Iterable[StepManagerFactory] = (),
    ) -> None:
        """Define a service; the options hold for all its handlers unless a handler says otherwise.

        Args:
            name: As callers write it in a path.
            description: Shown to operators.
            metadata: Shown to operators.
            inactivity_timeout: Idle time after which the runtime asks an attempt to suspend.
            abort_timeout: Further time after which the runtime aborts it.
            journal_retention: How long journals are kept after completion.
            idempotency_retention: How long results of idempotent requests are kept.
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
            ingress_private=ingress_private,
            invocation_retry_policy=invocation_retry_policy,
            explicit_cancellation=explicit_cancellation,
            context_managers=tuple(invocation_context_managers or ()),
            step_managers=tuple(step_managers),
        )
        super().__init__(name, description, options, failures)

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
        ingress_private: bool | None = None,
        invocation_retry_policy: InvocationRetryPolicy | None = None,
        invocation_context_managers: list[ContextManagerFactory] | None = None,
        *,
        failures: AnyFailures = None,
        explicit_cancellation: bool | None = None,
        step_managers: Iterable[StepManagerFactory] = (),
    ) -> Callable[[FunctionT], FunctionT]:
        """Register the decorated function, `async def` or `def`, and give it back.

        The first parameter is the context, the second, if any, the input. Their annotations decide how the input
        and the result are checked and written. Other options are as for the service and override its values.

        Args:
            name: The handler's name; the function's unless given.
            accept: Media types of the input; wildcards are allowed.
            content_type: Media type of the result.
            input_serde: How the input is read.
            output_serde: How the result is written.
            metadata: Shown to operators.
            inactivity_timeout: See the service.
            abort_timeout: See the service.
            journal_retention: See the service.
            idempotency_retention: See the service.
            ingress_private: See the service.
            invocation_retry_policy: See the service.
            invocation_context_managers: Entered inside the service's.
            failures: Exception classes that are terminal here; they win over the service's.
            explicit_cancellation: See the service.
            step_managers: Entered inside the service's.

        Raises:
            RegistrationError: The name is taken or cannot work, or the signature cannot; names the parameter.
        """
        options = HandlerOptions(
            metadata=metadata,
            inactivity_timeout=inactivity_timeout,
            abort_timeout=abort_timeout,
            journal_retention=journal_retention,
            idempotency_retention=idempotency_retention,
            ingress_private=ingress_private,
            invocation_retry_policy=invocation_retry_policy,
            explicit_cancellation=explicit_cancellation,
            context_managers=tuple(invocation_context_managers or ()),
            step_managers=tuple(step_managers),
        )
        return self._decorator(
            name, HandlerKind.PLAIN, accept, content_type, input_serde, output_serde, options, failures
        )
