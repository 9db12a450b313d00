"""The matrix: which web server, which kind of handlers, which server setting.

Owns the list of columns. Each column runs every scenario on a server and a service process of its own.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["COLUMNS", "Column", "Handlers", "Host", "Server", "Setting", "peer_is_reference"]


class Server(enum.Enum):
    """What drives the services."""

    RESTATE = "restate"
    ENGINE = "engine"


class Host(enum.Enum):
    """A web server and the HTTP version that the server of the column speaks to it; `IN_PROCESS` has neither."""

    HYPERCORN = "hypercorn"
    GRANIAN = "granian"
    UVICORN = "uvicorn"
    GUNICORN = "gunicorn"
    IN_PROCESS = "in-process"

    @property
    def uses_http_11(self) -> bool:
        """Whether the deployment is registered for HTTP/1.1, and so runs in request-response mode."""
        return self in (Host.UVICORN, Host.GUNICORN)


class Handlers(enum.Enum):
    """How the handlers are written."""

    ASYNC = "async"
    SYNC = "sync"
    PEER = "restate-sdk"


class Setting(enum.Enum):
    """A configuration of the server."""

    DEFAULT = "default"
    V5 = "v5"
    SUSPENDING = "suspending"
    V7 = "v7"
    V7_SUSPENDING = "v7-suspending"
    LAZY_STATE = "lazy-state"
    LAZY_STATE_SUSPENDING = "lazy-state-suspending"
    FEW_TIMERS = "few-timers"

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables of the server."""
        return _ENVIRONMENTS[self]

    @property
    def protocol_version(self) -> int:
        """The version of the service protocol that is negotiated."""
        match self:
            case Setting.V5:
                return 5
            case Setting.V7 | Setting.V7_SUSPENDING:
                return 7
            case _:
                return 6

    @property
    def suspends_at_once(self) -> bool:
        """Whether the server closes the input of an attempt as soon as it is idle."""
        return self in (Setting.SUSPENDING, Setting.V7_SUSPENDING, Setting.LAZY_STATE_SUSPENDING)


_SUSPENDING: Final = {"RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s"}
_V7: Final = {
    "RESTATE_EXPERIMENTAL_ENABLE_PROTOCOL_V7": "true",
    "RESTATE_EXPERIMENTAL_ENABLE_VQUEUES": "true",
    "RESTATE_WORKER__RULE_BOOK_POLL_INTERVAL": "1s",
}
_LAZY_STATE: Final = {"RESTATE_WORKER__INVOKER__DISABLE_EAGER_STATE": "true"}
_ENVIRONMENTS: Final[Mapping[Setting, Mapping[str, str]]] = {
    Setting.DEFAULT: {},
    Setting.V5: {},
    Setting.SUSPENDING: _SUSPENDING,
    Setting.V7: _V7,
    Setting.V7_SUSPENDING: _V7 | _SUSPENDING,
    Setting.LAZY_STATE: _LAZY_STATE,
    Setting.LAZY_STATE_SUSPENDING: _LAZY_STATE | _SUSPENDING,
    Setting.FEW_TIMERS: {"RESTATE_WORKER__NUM_TIMERS_IN_MEMORY_LIMIT": "1"},
}


@dataclass(frozen=True, slots=True)
class Column:
    """One way to run every scenario.

    Attributes:
        host: The web server.
        handlers: Asynchronous or synchronous handlers.
        setting: The server's configuration.
        only: Names of the scenario classes to run; empty means all.
        server: What drives the services.
    """

    host: Host
    handlers: Handlers
    setting: Setting
    only: frozenset[str] = frozenset()
    server: Server = Server.RESTATE

    def __str__(self) -> str:
        """Name the column as the tests' ids do."""
        prefix = "" if self.server is Server.RESTATE else f"{self.server.value}-"
        return f"{prefix}{self.host.value}-{self.handlers.value}-{self.setting.value}"

    @property
    def always_suspends(self) -> bool:
        """Whether an attempt ends as soon as it has to wait for something that is not in its journal."""
        return self.host.uses_http_11 or self.setting.suspends_at_once


def peer_is_reference() -> bool:
    """Whether the services run on `restate-sdk`, to calibrate the suite."""
    return os.environ.get("DURABLY_CONFORMANCE_PEER") == "restate"


def _columns() -> list[Column]:
    if peer_is_reference():
        hosts, handlers = [Host.HYPERCORN, Host.GRANIAN, Host.UVICORN], [Handlers.ASYNC]
    else:
        hosts, handlers = [host for host in Host if host is not Host.IN_PROCESS], [Handlers.ASYNC, Handlers.SYNC]
    full = [
        Column(host, kind, setting)
        for setting in (Setting.DEFAULT, Setting.SUSPENDING, Setting.V7)
        for host in hosts
        for kind in handlers
    ]
    state = frozenset({"State", "Combinators", "UserErrors"})
    partial = [
        (Setting.V5, frozenset[str]()),
        (Setting.V7_SUSPENDING, frozenset[str]()),
        (Setting.LAZY_STATE, state),
        (Setting.LAZY_STATE_SUSPENDING, state),
        (Setting.FEW_TIMERS, frozenset({"Sleep", "SleepWithFailures"})),
    ]
    return full + [Column(Host.HYPERCORN, kind, setting, only) for setting, only in partial for kind in handlers]


COLUMNS: Final = _columns()
