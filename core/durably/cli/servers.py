"""Web servers that `durably dev` can use, whichever are installed.

Owns which one fits: a server that speaks HTTP/2 without TLS where a Restate Server calls back, because only that can
stream; otherwise whatever serves the interface. The modules are imported when they are used.

| interface | first that is installed |
|---|---|
| ASGI, called by a Restate Server | hypercorn, uvicorn |
| ASGI | uvicorn, hypercorn |
| WSGI, called by a Restate Server | werkzeug, waitress (which hides who is local, so it takes signed requests only) |
| WSGI | waitress, werkzeug |
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from durably.errors import MissingExtraError, UsageError

__all__ = ["SERVERS", "choose_server", "serve"]

_GRACE_S: Final = 3
_THREADS: Final = 32


def choose_server(*, is_wsgi: bool, is_called_back: bool, wanted: str | None = None) -> str:
    """Choose a server that is installed.

    Args:
        is_wsgi: Whether it serves a WSGI application.
        is_called_back: Whether a runtime in another process calls the application.
        wanted: A name of the table, or None.

    Raises:
        UsageError: The wanted one does not serve this interface, or is not installed.
        MissingExtraError: None is installed.
    """
    fitting = ("waitress", "werkzeug") if is_wsgi else ("uvicorn", "hypercorn")
    if is_called_back:
        fitting = fitting[::-1]
    if wanted is not None:
        if wanted not in fitting:
            raise UsageError(f"{wanted} does not serve this application.", hint=f"There are {' and '.join(fitting)}.")
        if importlib.util.find_spec(wanted) is None:
            raise UsageError(f"{wanted} is not installed.", hint=f"pip install {wanted}")
        return wanted
    for name in fitting:
        if importlib.util.find_spec(name) is not None:
            return name
    if is_wsgi:
        raise UsageError("No WSGI server is installed.", hint="pip install waitress")
    raise MissingExtraError("Serving an application", "engine")


def serve(name: str, application: Any, host: str, port: int) -> None:
    """Serve until a signal says stop."""
    SERVERS[name](application, host, port)


def _uvicorn(application: Any, host: str, port: int) -> None:
    uvicorn: Any = importlib.import_module("uvicorn")
    uvicorn.run(application, host=host, port=port, log_level="info", timeout_graceful_shutdown=_GRACE_S)


def _hypercorn(application: Any, host: str, port: int) -> None:
    config: Any = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"{host}:{port}"]
    config.graceful_timeout = _GRACE_S
    hypercorn: Any = importlib.import_module("hypercorn.asyncio")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await hypercorn.serve(application, config, shutdown_trigger=stop.wait)

    asyncio.run(run())


def _waitress(application: Any, host: str, port: int) -> None:
    _stop_as_interrupted()
    waitress: Any = importlib.import_module("waitress")
    waitress.serve(application, host=host, port=port, threads=_THREADS, _quiet=False)


def _werkzeug(application: Any, host: str, port: int) -> None:
    _stop_as_interrupted()
    serving: Any = importlib.import_module("werkzeug.serving")
    serving.run_simple(host, port, application, threaded=True)


def _stop_as_interrupted() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # these servers know Ctrl-C only


SERVERS: Final[Mapping[str, Callable[[Any, str, int], None]]] = MappingProxyType(
    {"uvicorn": _uvicorn, "hypercorn": _hypercorn, "waitress": _waitress, "werkzeug": _werkzeug}
)
"""Name of the package → serves an application."""
