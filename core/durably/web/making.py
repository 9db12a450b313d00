"""What every adapter's `Durably` does alike: making services and binding them, and the options of endpoints.

Owns the public methods `bind`, `service`, `object` and `workflow`, and the names of handler options.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypedDict, TypeVar

from durably.authoring.objects import VirtualObject
from durably.authoring.services import Service
from durably.authoring.workflows import Workflow

if TYPE_CHECKING:
    from durably.authoring.endpoint import AnyService
    from durably.authoring.options import ContextManagerFactory, InvocationRetryPolicy
    from durably.authoring.services import AnyFailures
    from durably.endpoint import Endpoint

__all__ = ["HandlerKeywords", "ServiceMaker"]

P = ParamSpec("P")
ServiceT = TypeVar("ServiceT", Service, VirtualObject, Workflow)


class HandlerKeywords(TypedDict, total=False):
    """Options of a durable endpoint that its handler gets; see `Service.handler`."""

    metadata: dict[str, str]
    inactivity_timeout: timedelta
    abort_timeout: timedelta
    journal_retention: timedelta
    idempotency_retention: timedelta
    workflow_retention: timedelta
    ingress_private: bool
    invocation_retry_policy: InvocationRetryPolicy
    invocation_context_managers: list[ContextManagerFactory]
    failures: AnyFailures
    explicit_cancellation: bool


def _makes(
    kind: Callable[P, ServiceT],
) -> Callable[[Callable[[ServiceMaker, ServiceT], None]], Callable[Concatenate[ServiceMaker, P], ServiceT]]:
    """Give a method the arguments of `kind`: it makes one, and the decorated function takes care of it."""

    def decorate(take: Callable[[ServiceMaker, ServiceT], None]) -> Callable[Concatenate[ServiceMaker, P], ServiceT]:
        def make(self: ServiceMaker, /, *args: P.args, **kwargs: P.kwargs) -> ServiceT:
            made = kind(*args, **kwargs)
            take(self, made)
            return made

        make.__name__ = take.__name__
        make.__doc__ = take.__doc__
        return make

    return decorate


class ServiceMaker(ABC):
    """Makes services and binds them to the endpoint of an application."""

    @property
    @abstractmethod
    def _registry(self) -> Endpoint:
        """Where services are bound."""

    def bind(self, *services: AnyService) -> None:
        """Serve services, virtual objects and workflows that were made elsewhere.

        Raises:
            RegistrationError: One is no service, or its name is taken.
        """
        self._registry.bind(*services)

    @_makes(Service)
    def service(self, made: Service) -> None:
        """Make a `Service` and serve it; takes what the class takes."""
        self.bind(made)

    @_makes(VirtualObject)
    def object(self, made: VirtualObject) -> None:
        """Make a `VirtualObject` and serve it; takes what the class takes."""
        self.bind(made)

    @_makes(Workflow)
    def workflow(self, made: Workflow) -> None:
        """Make a `Workflow` and serve it; takes what the class takes."""
        self.bind(made)
