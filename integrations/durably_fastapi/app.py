"""`Durably`: one object that makes a FastAPI application durable.

Owns the public face: settings, services, decorators, the client, and taking over an application. What happens to
requests stands in `dispatch`, the runtime's life in `runtime`, endpoints in `endpoint`.

    app = FastAPI()
    durably = Durably(app)

    @app.post("/orders/{order_id}")
    @durably.endpoint
    async def place(order_id: str, order: Order, ctx: Context) -> Receipt: ...
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from durably.authoring.failures import FailureMap
from durably.endpoint import Endpoint
from durably.errors import UsageError
from durably.web.link import Link
from durably.web.making import HandlerKeywords, ServiceMaker
from durably.web.naming import EndpointOptions
from durably.web.settings import Settings, read_settings
from durably_fastapi.binder import remember_host
from durably_fastapi.checking import check_routes
from durably_fastapi.client import CTX_CALLS, AnyClient, AnySyncClient
from durably_fastapi.dispatch import Dispatch
from durably_fastapi.endpoint import make_endpoint
from durably_fastapi.failures import framework_failures
from durably_fastapi.markers import only_outside
from durably_fastapi.openapi import document_durable_routes
from durably_fastapi.polling import add_polling_route
from durably_fastapi.runtime import Runtime
from durably_fastapi.tasks import make_task

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
    from durably.authoring.endpoint import AnyService
    from durably.engine.clock import Clock
    from durably.engine.options import EngineOptions
    from durably.hosting.options import HostingOptions
    from durably.machine import MachineOptions
    from durably.web.typed import EndpointDecorator, TypedEndpoint

__all__ = ["Durably", "HandlerKeywords"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
ParamsT = ParamSpec("ParamsT")
OutputT = TypeVar("OutputT")


class Durably(ServiceMaker):
    """Makes an application durable: its endpoints, its services, and the runtime that starts and stops with it."""

    def __init__(
        self,
        app: FastAPI | None = None,
        *,
        services: Iterable[AnyService] = (),
        url: str | None = None,
        admin_url: str | None = None,
        service_url: str | None = None,
        prefix: str | None = None,
        identity_keys: Iterable[str] | None = None,
        allow_unsigned: bool | None = None,
        mode: str | None = None,
        secret_key: str | None = None,
        max_upload_bytes: int | None = None,
        options: EngineOptions | None = None,
        hosting: HostingOptions | None = None,
        failures: FailureMap | Mapping[type[BaseException], Any] | None = None,
        journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
        machine_options: MachineOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Read the settings and take over `app`; nothing is opened before the application starts.

        Settings that are not given are read from the environment, `DURABLY_URL` for `url` and so on, else they have
        their defaults.

        Args:
            app: The application; without one, call `init_app` later.
            services: Services, virtual objects and workflows to serve; `bind` adds more.
            url: `sqlite:///file.db` (`sqlite:///durably.db` unless given), `memory://`, or the ingress of a Restate
                Server.
            admin_url: The server's admin API, for registering this application with it.
            service_url: Where the server reaches this application, without the prefix.
            prefix: Where the runtime's own routes stand, `/restate` unless given.
            identity_keys: Public keys of the servers that may invoke handlers.
            allow_unsigned: True accepts invocations from anyone who reaches the application.
            mode: `auto`, `bidi` or `request_response`.
            secret_key: Signs the addresses of results that are asked for later.
            max_upload_bytes: How large the files of one call of a durable endpoint may be together.
            options: Of the embedded engine: timeouts, retries, retention, limits.
            hosting: How handlers are run.
            failures: Exception classes that are terminal in every handler, with their status.
            journal_value_codec: Encrypts or compresses what is journaled.
            machine_options: How the journal is followed.
            clock: Another clock for the embedded engine, for tests.

        Raises:
            ConfigurationError: A setting cannot work; the text names where it came from.
            RegistrationError: A service is none, or two have the same name.
        """
        given: dict[str, object] = {
            "url": url,
            "admin_url": admin_url,
            "service_url": service_url,
            "prefix": prefix,
            "identity_keys": None if identity_keys is None else tuple(identity_keys),
            "allow_unsigned": allow_unsigned,
            "mode": mode,
            "secret_key": secret_key,
            "max_upload_bytes": max_upload_bytes,
        }
        settings = read_settings({name: value for name, value in given.items() if value is not None})
        endpoint = Endpoint().bind(*services)
        if journal_value_codec is not None:
            endpoint.set_journal_value_codec(journal_value_codec)
        if machine_options is not None:
            endpoint.machine_options = machine_options

        def make_link() -> Link:
            return Link(settings, endpoint, options=options, hosting=hosting, clock=clock)

        self._runtime = Runtime(settings, endpoint, make_link)
        endpoint.failures = framework_failures(self._runtime) | FailureMap.of(failures)
        remember_host(self._runtime)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: FastAPI) -> None:
        """Take over an application: its lifespan, and what stands before its middleware.

        An application factory calls it for each application that it makes; the last one counts.

        Raises:
            UsageError: The application serves already.
        """
        if app.middleware_stack is not None:
            raise UsageError(
                "The application has started already.", hint="Make `Durably(app)` where the application is made."
            )
        runtime = self._runtime
        runtime.app = app
        add_polling_route(app, runtime)
        document_durable_routes(app, runtime)
        build = app.build_middleware_stack

        def build_with_dispatch() -> ASGIApp:
            check_routes(app, runtime.endpoint)
            document_durable_routes(app, runtime)  # again, for an application that has replaced its `openapi` since
            stack = build()
            if not isinstance(stack, ServerErrorMiddleware):
                return Dispatch(stack, runtime)
            # Inside of the outermost layer, which instrumentation expects to find there and which only reports errors.
            stack.app = Dispatch(stack.app, runtime)
            return stack

        app.build_middleware_stack = build_with_dispatch  # type: ignore[method-assign]

    @property
    def _registry(self) -> Endpoint:
        return self._runtime.endpoint

    # ---- decorators

    @overload
    def endpoint(
        self, function: Callable[ParamsT, Coroutine[Any, Any, OutputT]], /
    ) -> TypedEndpoint[ParamsT, Coroutine[Any, Any, OutputT], OutputT]: ...

    @overload
    def endpoint(self, function: Callable[ParamsT, OutputT], /) -> TypedEndpoint[ParamsT, OutputT, OutputT]: ...

    @overload
    def endpoint(
        self,
        /,
        *,
        service: str | None = None,
        name: str | None = None,
        key: str | None = None,
        shared: bool = False,
        workflow: bool = False,
        **handler: Unpack[HandlerKeywords],
    ) -> EndpointDecorator: ...

    def endpoint(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        service: str | None = None,
        name: str | None = None,
        key: str | None = None,
        shared: bool = False,
        workflow: bool = False,
        **handler: Unpack[HandlerKeywords],
    ) -> Any:
        """Make an endpoint durable; stands below the decorator of the route, with or without arguments.

        Handlers and clients call it like any handler, with a mapping of its values by name:
        `ctx.service_call(place, arg={"order_id": "A-1", "order": …})`.

        Args:
            function: The endpoint.
            service: Name of the service; the function's module unless given.
            name: Name of the handler; the function's unless given.
            key: The parameter that is the key of a virtual object, or of the workflow.
            shared: Runs beside the other endpoints of its key.
            workflow: Runs once for each key.
            handler: Options of the handler, as for `Service.handler`.

        Raises:
            RegistrationError: The function, a dependency or an option cannot work; the text says which and why.
            ConfigurationError: An option has a wrong type.
        """
        options = EndpointOptions(
            service=service, name=name, key=key, shared=shared, workflow=workflow, handler=dict(handler)
        )

        def decorate(decorated: Callable[..., Any]) -> Callable[..., Any]:
            return make_endpoint(decorated, host=self._runtime, options=options)

        return decorate if function is None else decorate(function)

    @overload
    def task(self, function: FunctionT, /) -> FunctionT: ...

    @overload
    def task(
        self, /, *, service: str | None = None, name: str | None = None, **handler: Unpack[HandlerKeywords]
    ) -> Callable[[FunctionT], FunctionT]: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        service: str | None = None,
        name: str | None = None,
        **handler: Unpack[HandlerKeywords],
    ) -> Any:
        """Let `DurableBackgroundTasks.add_task` take a function, `async def` or `def`; gives the function itself.

        Its arguments are validated and stored as JSON. It may have `Depends` parameters and a context. It runs until
        it succeeds or fails for good, possibly more than once: what must not be repeated belongs in `ctx.run_typed`.

        Args:
            function: The function.
            service: Name of the service; the function's module with `_tasks` unless given.
            name: Name of the handler; the function's unless given.
            handler: Options of the handler, as for `Service.handler`.

        Raises:
            RegistrationError: A parameter cannot work, or the name is taken.
        """

        def decorate(decorated: Callable[..., Any]) -> Callable[..., Any]:
            make_task(decorated, self._runtime, service, name, dict(handler))
            return decorated

        return decorate if function is None else decorate(function)

    # ---- running

    @only_outside(CTX_CALLS)
    def client(self) -> AnyClient:
        """Give the client: `Depends(durably.client)`, or call it. It can be used while the application runs.

        It is for ordinary endpoints and other code: durable functions call through their context.

        Raises:
            EngineStoppedError: The application has not started.
        """
        return self._runtime.link.client()

    @only_outside(CTX_CALLS)
    def sync_client(self) -> AnySyncClient:
        """Give the client for `def` endpoints, whose methods block; see `client`."""
        return self._runtime.link.sync_client()

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncGenerator[None, None]:
        """Run the runtime; for the outermost application when this one is mounted below it.

        `FastAPI(lifespan=durably.lifespan)`, or `async with durably.lifespan():` within a lifespan.
        """
        is_owner = await self._runtime.start()
        try:
            yield
        finally:
            if is_owner:
                await self._runtime.stop()

    @property
    def link(self) -> Link:
        """The way to the runtime; its engine, if that is embedded."""
        return self._runtime.link

    @property
    def services(self) -> Mapping[str, AnyService]:
        """What is served, by name: services that were bound, and those that endpoints and tasks have made."""
        return self._runtime.endpoint.services

    @property
    def settings(self) -> Settings:
        """The settings as they were read."""
        return self._runtime.settings
