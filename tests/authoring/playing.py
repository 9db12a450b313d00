"""Plays a handler against the model of the runtime, in every setting that handlers run in.

A play runs the handler once undisturbed; then it replays the whole journal, which must write nothing new; then
it runs it again for every entry of that journal, losing the connection after the entry. All must end alike.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from durably.authoring.endpoint import Endpoint
from durably.authoring.objects import VirtualObject
from durably.authoring.services import Service
from durably.authoring.workflows import Workflow
from durably.hosting.asgi import AsgiApp
from durably.hosting.options import HostingOptions, Unsigned
from durably.hosting.wsgi import WsgiApp
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.runtime_model.runtime import Runtime

__all__ = ["ASYNC", "EVERYWHERE", "STREAMING", "SYNC", "Play", "Setting", "app_of", "run_once"]

V5, V6, V7 = ProtocolVersion.V5, ProtocolVersion.V6, ProtocolVersion.V7
Kind = Literal["service", "object", "shared", "workflow", "query"]
OPTIONS = HostingOptions(unsigned=Unsigned.ACCEPT, blocked_after=None)


@dataclass(frozen=True)
class Setting:
    """How a handler runs."""

    flavour: Literal["async", "sync"]
    carrier: Literal["streaming", "request_response", "wsgi"]
    version: ProtocolVersion

    def __str__(self) -> str:
        return f"{self.flavour}-{self.carrier}-{self.version.name}"


EVERYWHERE = [
    *(
        Setting(flavour, carrier, version)
        for flavour in ("async", "sync")
        for carrier in ("streaming", "request_response")
        for version in (V5, V6, V7)
    ),
    *(Setting("sync", "wsgi", version) for version in (V5, V6, V7)),
    Setting("async", "wsgi", V6),
]
ASYNC = [setting for setting in EVERYWHERE if setting.flavour == "async"]
SYNC = [setting for setting in EVERYWHERE if setting.flavour == "sync"]
STREAMING = [setting for setting in EVERYWHERE if setting.carrier == "streaming"]


def app_of(
    handler: Callable[..., Any],
    *,
    kind: Kind = "service",
    wsgi: bool = False,
    configure: Callable[[Endpoint], Any] | None = None,
    options: HostingOptions = OPTIONS,
    **handler_options: Any,
) -> Any:
    """Serve `handler` as `Played/play`."""
    endpoint = Endpoint()
    service: Any
    match kind:
        case "service":
            service = Service("Played")
            service.handler("play", **handler_options)(handler)
        case "object" | "shared":
            service = VirtualObject("Played")
            service.handler("play", kind="exclusive" if kind == "object" else "shared", **handler_options)(handler)
        case "workflow":
            service = Workflow("Played")
            service.main("play", **handler_options)(handler)
        case "query":
            service = Workflow("Played")
            service.handler("play", **handler_options)(handler)
    endpoint.bind(service)
    if configure is not None:
        configure(endpoint)
    return WsgiApp(endpoint, options) if wsgi else AsgiApp(endpoint, options)


def run_once(handler: Callable[..., Any], *, prepare: Callable[[Runtime], Any] | None = None, **how: Any) -> Runtime:
    """Run a handler to its end in one setting, V6 streaming unless told otherwise, without replays."""
    runtime_options = {
        name: how.pop(name)
        for name in ("body", "key", "version", "streaming", "state", "lazy_state", "on_call", "seed")
        if name in how
    }
    runtime_options.setdefault("seed", None)
    cuts, limit = how.pop("cuts", None), how.pop("limit", 50)
    runtime = Runtime(app_of(handler, **how), "Played", "play", wsgi=how.get("wsgi", False), **runtime_options)
    if prepare is not None:
        prepare(runtime)
    asyncio.run(runtime.finish(cuts=cuts, limit=limit))
    return runtime


@dataclass
class Play:
    """Plays handlers in one setting; see the module's text.

    Attributes:
        setting: How.
        runs: The runtimes of the last play: undisturbed, replay, then one for each cut.
    """

    setting: Setting
    runs: list[Runtime] = field(default_factory=list)

    def __call__(
        self,
        asynchronous: Callable[..., Any] | None,
        synchronous: Callable[..., Any] | None = None,
        *,
        kind: Kind = "service",
        body: bytes = b"",
        state: dict[str, bytes] | None = None,
        prepare: Callable[[Runtime], Any] | None = None,
        fails: bool = False,
        cuts: bool = True,
        alike: bool = True,
        on_call: Callable[[str, str, bytes], bytes | None] | None = None,
        lazy_state: bool = False,
        **how: Any,
    ) -> Runtime:
        """Play the function of this setting's flavour; give the undisturbed run.

        Args:
            asynchronous: The `async def` handler.
            synchronous: The `def` handler that does the same.
            kind: What it is registered as.
            body: The input's bytes.
            state: State before the invocation.
            prepare: Called with each new runtime before it runs, to let signals arrive.
            fails: Attempts that end with an Error are expected.
            cuts: Whether to lose the connection after each entry.
            alike: Whether that must not change the result. It may, where the order of completions matters.
            on_call: What calls give.
            lazy_state: Whether state is not sent along.
            how: Options of the handler, and `configure`.
        """
        setting = self.setting
        handler = asynchronous if setting.flavour == "async" else synchronous
        assert handler is not None, f"no handler for {setting}"
        wsgi = setting.carrier == "wsgi"
        app = app_of(handler, kind=kind, wsgi=wsgi, **how)

        def new() -> Runtime:
            runtime = Runtime(
                app,
                "Played",
                "play",
                body,
                key="" if kind == "service" else "key-1",
                version=setting.version,
                streaming=setting.carrier == "streaming",
                wsgi=wsgi,
                seed=None,
                state={} if state is None and kind != "service" else copy.copy(state),
                lazy_state=lazy_state,
                **({} if on_call is None else {"on_call": on_call}),
            )
            if prepare is not None:
                prepare(runtime)
            self.runs.append(runtime)
            return runtime

        async def play() -> None:
            first = new()
            await first.finish(limit=40)
            assert fails or first.errors == []
            if not cuts:
                return
            replay = new()
            replay.journal = list(first.journal)
            replay.state = copy.copy(first.state)
            attempt = await replay.attempt()
            assert attempt.frames == [(MessageType.END, b"")], attempt
            for cut in range(2, len(first.journal)):
                again = new()
                await again.finish(cuts=[cut], limit=40)
                assert fails or again.errors == [], f"cut after entry {cut}"
                same = (again.output, again.failure) == (first.output, first.failure)
                assert same or not alike, f"cut after entry {cut}"

        self.runs.clear()
        asyncio.run(play())
        return self.runs[0]
