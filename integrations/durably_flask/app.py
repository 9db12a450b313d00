"""`Durably`: the Flask extension.

Owns the public face: settings, services, the decorator, the client, and taking over applications. What happens to
requests stands in `dispatch` and `endpoint`, the runtime's life in `state`.

    durably = Durably()

    def create_app() -> Flask:
        app = Flask(__name__)
        durably.init_app(app)
        return app
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from flask import Blueprint, Flask, current_app, has_app_context

from durably.endpoint import Endpoint
from durably.errors import UsageError
from durably.web.link import Link
from durably.web.making import HandlerKeywords, ServiceMaker
from durably.web.naming import EndpointOptions
from durably.web.settings import Settings
from durably_flask.commands import durably_command
from durably_flask.dispatch import Dispatch
from durably_flask.endpoint import keep_body, make_endpoint, poll_view
from durably_flask.state import EXTENSION, AppState, Runtime, state_of

if TYPE_CHECKING:
    from flask.blueprints import BlueprintSetupState

    from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider
    from durably.authoring.endpoint import AnyService
    from durably.authoring.failures import FailureMap
    from durably.client.blocking import BlockingClient
    from durably.engine.blocking_client import BlockingEngineClient
    from durably.engine.clock import Clock
    from durably.engine.options import EngineOptions
    from durably.hosting.options import HostingOptions
    from durably.machine import MachineOptions

__all__ = ["Durably"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Durably(ServiceMaker):
    """Makes applications durable: their views, their services, and the runtime that runs with them."""

    def __init__(
        self,
        app: Flask | None = None,
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
        identity: Callable[[], Any] | None = None,
        restore: Callable[[Any], object] | None = None,
        secret_headers: Iterable[str] = (),
        options: EngineOptions | None = None,
        hosting: HostingOptions | None = None,
        failures: FailureMap | Mapping[type[BaseException], Any] | None = None,
        journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
        machine_options: MachineOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Keep the settings and take over `app`; nothing is opened before the first request.

        Settings that are not given are read from the application's configuration, `DURABLY_URL` for `url` and so on,
        then from the environment, else they have their defaults.

        Args:
            app: The application; without one, call `init_app` for each.
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
            max_upload_bytes: How large the body of a durable view's request may be.
            identity: Gives who calls a durable view, as JSON; it runs when the call arrives. On attempts the view
                finds it as `g.identity`.
            restore: Is called on each attempt with that, within the request, and puts it where views look for it:
                `g.user = …`.
            secret_headers: Headers that are not stored, besides the usual ones for credentials.
            options: Of the embedded engine: timeouts, retries, retention, limits. Unless given, a handler that waits
                longer than 100 ms is suspended, and gives its thread back.
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
        self._runtime = Runtime(
            given={name: value for name, value in given.items() if value is not None},
            options=options,
            hosting=hosting,
            failures=failures,
            codec=journal_value_codec,
            machine_options=machine_options,
            clock=clock,
            identity=identity,
            restore=restore,
            secret_headers=tuple(secret_headers),
        )
        self._services = Endpoint().bind(*services)
        self._app: Flask | None = None
        if app is not None:
            self.init_app(app)

    @property
    def _registry(self) -> Endpoint:
        return self._services

    def init_app(self, app: Flask, *, prefix: str | None = None) -> None:
        """Take over an application; a factory calls it for each that it makes.

        Args:
            app: The application, which has not served yet.
            prefix: Of the runtime's own routes, in this application.

        Raises:
            ConfigurationError: A setting cannot work.
            UsageError: The application has a `Durably` already.
        """
        if EXTENSION in app.extensions:
            raise UsageError(f"The application {app.name!r} has a Durably already.", hint="Give it to one only.")
        state = app.extensions[EXTENSION] = AppState(app, self._runtime, self._services, prefix)
        app.wsgi_app = Dispatch(app.wsgi_app, state)  # type: ignore[method-assign]
        app.before_request_funcs.setdefault(None, []).insert(0, keep_body)
        app.add_url_rule(f"{state.settings.prefix}/results/<token>", "durably_result", poll_view, methods=["GET"])
        app.cli.add_command(durably_command)
        self._app = app

    @property
    def blueprint(self) -> Blueprint:
        """A blueprint whose registration takes over the application, with its `url_prefix` as the prefix."""
        blueprint = Blueprint("durably", __name__)

        def take_over(setup: BlueprintSetupState) -> None:
            self.init_app(cast("Flask", setup.app), prefix=setup.url_prefix)

        blueprint.record_once(take_over)
        return blueprint

    # ---- views

    @overload
    def endpoint(self, function: FunctionT, /) -> FunctionT: ...

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
        before_request: bool = False,
        **handler: Unpack[HandlerKeywords],
    ) -> Callable[[FunctionT], FunctionT]: ...

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
        before_request: bool = False,
        **handler: Unpack[HandlerKeywords],
    ) -> Any:
        """Make a view durable; stands below the decorator of the route, with or without arguments.

        Args:
            function: The view, or a method of a `MethodView`.
            service: Name of the service; the function's module unless given.
            name: Name of the handler; the function's unless given.
            key: The part of the URL that is the key of a virtual object, or of the workflow.
            shared: Runs beside the other views of its key.
            workflow: Runs once for each key.
            before_request: Runs the functions that run before each request on every attempt too.
            handler: Options of the handler, as for `Service.handler`.

        Raises:
            RegistrationError: The function or an option cannot work; the text says which and why.
            ConfigurationError: An option has a wrong type.
        """
        options = EndpointOptions(
            service=service, name=name, key=key, shared=shared, workflow=workflow, handler=dict(handler)
        )

        def decorate(decorated: Callable[..., Any]) -> Callable[..., Any]:
            return make_endpoint(decorated, registry=self._services, options=options, runs_before=before_request)

        return decorate if function is None else decorate(function)

    # ---- running

    @property
    def client(self) -> BlockingEngineClient | BlockingClient:
        """The client, whose methods block; of the current application. It starts the runtime if that does not run.

        Raises:
            DurablyError: The runtime cannot be started.
        """
        state = self._state(None)
        state.start()
        return state.link.sync_client()

    def start(self, app: Flask | None = None) -> None:
        """Start the runtime now, not with the first request: in a process that serves, after the server has forked.

        Args:
            app: Which application; the current one unless given.

        Raises:
            DurablyError: It cannot be started.
        """
        self._state(app).start()

    def stop(self, app: Flask | None = None) -> None:
        """Stop the runtime, in bounded time; what was acknowledged goes on with the next one. Only `start` restarts it.

        Args:
            app: Which application; the current one unless given.
        """
        self._state(app).stop()

    @property
    def link(self) -> Link:
        """The way to the runtime of the current application; its engine, if that is embedded."""
        return self._state(None).link

    @property
    def services(self) -> Mapping[str, AnyService]:
        """What is served, by name: services that were bound, and those that views have made."""
        return self._services.services

    @property
    def settings(self) -> Settings:
        """The settings of the current application, as they were read."""
        return self._state(None).settings

    def _state(self, app: Flask | None) -> AppState:
        if app is None and has_app_context():
            app = current_app
        found = app or self._app
        if found is None:
            raise UsageError("Durably has no application.", hint="Call init_app(app), or work in an app_context().")
        return state_of(found)
