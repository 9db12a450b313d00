"""`python -m durably engine`: the engine as a process of its own, with its HTTP APIs.

Owns the command line, the signals, and the exit codes. Services are registered over HTTP, with `POST /deployments` on
the admin port, as with a Restate Server.

| exit code | meaning |
|---|---|
| 0 | stopped by SIGTERM or SIGINT; everything acknowledged is stored |
| 1 | it could not start: the file, a port |
| 2 | wrong arguments |
| 75 | the disk failed while it ran: start it again when the disk works |
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from durably.engine.engine import Engine
from durably.engine.records import EngineOptions
from durably.engine.serving import HttpServer, bind
from durably.errors import ConfigurationError, DurablyError, StoreError
from durably.protocol.manifest import OnMaxAttempts
from durably.protocol.versions import ProtocolVersion

if TYPE_CHECKING:
    from durably.engine.transport.inprocess import AsgiApplication
    from durably.engine.transport.options import HttpOptions

    Opening = Callable[[EngineOptions, HttpOptions], AbstractAsyncContextManager[Engine]]

__all__ = ["EXIT_DISK_FAILED", "add_arguments", "main", "run", "serve", "start_logging", "url_of_file"]

EXIT_DISK_FAILED: Final = 75
_MS: Final = timedelta(milliseconds=1)
_ANY_ADDRESS: Final = ("", "*")

_logger = logging.getLogger("durably.engine")


def _duration_ms(text: str) -> int:
    from durably.engine.ingress.durations import parse_duration

    if text == "0":
        return 0
    try:
        value: Any = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, as 10s or 1m 30s or PT10S: {error}") from error
    return int(value) if not isinstance(value, timedelta) else value // _MS


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no network, as 10.0.0.0/8: {error}") from error


def _attempts(text: str) -> int | None:
    return None if text == "unlimited" else int(text)


def add_arguments(parser: argparse.ArgumentParser, defaults: EngineOptions | None = None) -> None:
    """Add the arguments of the command to `parser`; what is not given there is as in `defaults`."""
    defaults = defaults or EngineOptions()
    retries = defaults.retry_policy
    parser.set_defaults(defaults=defaults)
    parser.add_argument("--db", default="durably.db", metavar="FILE", help="the file; `:memory:` for none")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="where both APIs listen; others than this machine's own need a token (default: %(default)s)",
    )
    parser.add_argument("--ingress-port", type=int, default=8080, metavar="N", help="0 takes a free one")
    parser.add_argument("--admin-port", type=int, default=9070, metavar="N", help="0 takes a free one")
    parser.add_argument(
        "--token",
        default=os.environ.get("DURABLY_TOKEN"),
        help="that every request must carry as"
        " `authorization: Bearer`; better given as DURABLY_TOKEN in the environment",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name in `Host` besides those of this machine; repeatable",
    )
    parser.add_argument(
        "--allow-network",
        action="append",
        default=[],
        type=_network,
        metavar="CIDR",
        help="a private network where deployments may be, as 10.0.0.0/8; repeatable",
    )
    parser.add_argument(
        "--request-identity-private-key-pem-file",
        metavar="FILE",
        help="an Ed25519 key that every request to a deployment is signed with; its public key is logged",
    )
    for name, default in (
        ("inactivity-timeout", defaults.inactivity_timeout_ms),
        ("abort-timeout", defaults.abort_timeout_ms),
        ("journal-retention", defaults.journal_retention_ms),
        ("idempotency-retention", defaults.idempotency_retention_ms),
        ("workflow-retention", defaults.workflow_retention_ms),
        ("retry-initial-interval", retries.initial_interval_ms),
        ("retry-max-interval", retries.max_interval_ms),
    ):
        parser.add_argument(
            f"--{name}",
            type=_duration_ms,
            default=default,
            metavar="DURATION",
            help=f"as 0s, 10s, 1h 30m, PT10S (default: {timedelta(milliseconds=default)})",
        )
    parser.add_argument("--retry-factor", type=float, default=retries.factor, help="(default: %(default)s)")
    parser.add_argument(
        "--retry-max-attempts",
        type=_attempts,
        default=retries.max_attempts,
        help="a number, or `unlimited` (default: %(default)s)",
    )
    parser.add_argument(
        "--retry-on-max-attempts", choices=("pause", "kill"), default=retries.on_max_attempts.value.lower()
    )
    parser.add_argument(
        "--lazy-state",
        action="store_true",
        default=defaults.enable_lazy_state,
        help="send no state along with attempts",
    )
    parser.add_argument(
        "--max-protocol-version", type=int, choices=(5, 6, 7), default=int(defaults.max_protocol_version)
    )
    parser.add_argument("--attempts-in-flight", type=int, default=defaults.limits.attempts_in_flight, metavar="N")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))


def run(arguments: argparse.Namespace, application: AsgiApplication | None = None) -> int:
    """Run the command until it is told to stop; gives the exit code.

    Args:
        arguments: As parsed.
        application: Serves services in this process too.
    """
    start_logging(arguments)

    def opening(options: EngineOptions, http: HttpOptions) -> AbstractAsyncContextManager[Engine]:
        return Engine(url_of_file(arguments.db), application=application, options=options, http=http)

    try:
        return asyncio.run(serve(arguments, opening, sys.stdout.write))
    except (DurablyError, OSError) as error:
        hint = getattr(error, "hint", None)
        sys.stderr.write(f"durably engine: {error}\n" + (f"{hint}\n" if hint and hint not in str(error) else ""))
        return 1


def start_logging(arguments: argparse.Namespace) -> None:
    """Log to standard error, unless the process logs elsewhere already."""
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )


async def serve(arguments: argparse.Namespace, opening: Opening, say: Callable[[str], object]) -> int:
    """Run an engine with its HTTP APIs until it is told to stop; gives the exit code.

    Args:
        arguments: As parsed.
        opening: Makes the engine; it is entered on the running event loop.
        say: Told once that it is ready, and where.

    Raises:
        DurablyError: It could not start.
        OSError: A file could not be read.
    """
    from durably.engine.admin.app import AdminApp
    from durably.engine.ingress.access import AccessOptions
    from durably.engine.ingress.app import IngressApp, IngressOptions
    from durably.engine.transport.addresses import AddressPolicy
    from durably.engine.transport.options import HttpOptions
    from durably.engine.transport.signing import SigningKey

    stop = _stop_on_signals()
    key_file = arguments.request_identity_private_key_pem_file
    identity = None if key_file is None else SigningKey.read(key_file)
    if identity is not None:
        _logger.info("Requests to deployments are signed; their identity_keys: %s", identity.public_key)
    access = AccessOptions(token=arguments.token, allowed_hosts=frozenset(arguments.allowed_host))
    _check_host(arguments.host, arguments.token)
    ingress_socket = bind(arguments.host, arguments.ingress_port)
    try:
        admin_socket = bind(arguments.host, arguments.admin_port)
    except DurablyError:
        ingress_socket.close()
        raise
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    ingress_url = f"http://{host}:{ingress_socket.getsockname()[1]}"
    policy = AddressPolicy(allowed_networks=tuple(arguments.allow_network))
    opened = opening(_options(arguments), HttpOptions(addresses=policy, identity=identity))
    try:
        engine = await opened.__aenter__()
    except BaseException:
        ingress_socket.close()
        admin_socket.close()
        raise
    ingress = HttpServer(IngressApp(engine, IngressOptions(access=access)), ingress_socket)
    admin = HttpServer(AdminApp(engine, access, ingress_url=ingress_url + "/"), admin_socket)
    try:
        await ingress.start()
        await admin.start()
        say(f"durably engine ready: ingress {ingress_url} admin http://{host}:{admin.port}\n")
        sys.stdout.flush()
        failure = await _wait(stop, engine)
    finally:
        ingress.finish()
        admin.finish()
        await opened.__aexit__(None, None, None)
        await asyncio.gather(ingress.stop(), admin.stop())
    if failure is not None:
        sys.stderr.write(f"durably engine: {failure}\n")
        return EXIT_DISK_FAILED
    return 0


async def _wait(stop: asyncio.Event, engine: Engine) -> StoreError | None:
    """Wait for a signal, or for the store to be down for good."""
    told = asyncio.ensure_future(stop.wait())
    down = asyncio.ensure_future(engine.down())
    done, pending = await asyncio.wait((told, down), return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return down.result() if down in done else None


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _check_host(host: str, token: str | None) -> None:
    from durably.engine.ingress.access import is_loopback

    if token is None and (host in _ANY_ADDRESS or not (host == "localhost" or is_loopback(host))):
        raise ConfigurationError(
            f"Listening on {host} lets others than this machine in, which needs a token.",
            hint="Set DURABLY_TOKEN, or listen on 127.0.0.1.",
        )


def url_of_file(db: str) -> str:
    """Give the url of a file; `:memory:` is none."""
    if db == ":memory:":
        return "memory://"
    return f"sqlite:////{os.path.abspath(db).lstrip('/')}".replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _options(arguments: argparse.Namespace) -> EngineOptions:
    defaults: EngineOptions = arguments.defaults
    return replace(
        defaults,
        inactivity_timeout_ms=arguments.inactivity_timeout,
        abort_timeout_ms=arguments.abort_timeout,
        journal_retention_ms=arguments.journal_retention,
        idempotency_retention_ms=arguments.idempotency_retention,
        workflow_retention_ms=arguments.workflow_retention,
        retry_policy=replace(
            defaults.retry_policy,
            initial_interval_ms=arguments.retry_initial_interval,
            factor=arguments.retry_factor,
            max_interval_ms=arguments.retry_max_interval,
            max_attempts=arguments.retry_max_attempts,
            on_max_attempts=OnMaxAttempts(arguments.retry_on_max_attempts.upper()),
        ),
        enable_lazy_state=arguments.lazy_state,
        max_protocol_version=ProtocolVersion(arguments.max_protocol_version),
        limits=replace(defaults.limits, attempts_in_flight=arguments.attempts_in_flight),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, or those of the process."""
    parser = argparse.ArgumentParser(prog="durably engine", description="Run durable handlers, on one file.")
    add_arguments(parser)
    return run(parser.parse_args(arguments))
