"""What a scenario is given: a server, a service process, clients with a deadline, and ways to wait.

Owns the pairing of a server with a service process that is registered there.
"""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from durably.testing.server import RestateServer, find_server
from tests.conformance.suite.clients import Admin, Deadline, Ingress, InvocationFailedError, Submission
from tests.conformance.suite.columns import Column, Host, Server
from tests.conformance.suite.engines import EngineProcess, ServicesWithin
from tests.conformance.suite.processes import ServiceProcess

__all__ = ["Pair", "Stage"]

ResultT = TypeVar("ResultT")
POLL_SECONDS = 0.1
UNSUPPORTED_FEATURE = "573"


class Pair:
    """A server and a service process that is registered with it.

    Args:
        column: Which web server, which handlers, which setting.
        directory: Where logs and data go.
        settings: More environment variables for the server.
        environment: More environment variables for the service process.
    """

    def __init__(
        self,
        column: Column,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Choose ports; starts nothing."""
        directory.mkdir(parents=True, exist_ok=True)
        self.column = column
        self.directory = directory
        self.server, self.service = _processes(column, directory, settings or {}, environment or {})
        self.deployment: dict[str, Any] = {}

    def start(self) -> None:
        """Start both and register the services."""
        self.server.start()
        self.service.start()
        self.deployment = self.server.register(self.service.url, use_http_11=self.column.host.uses_http_11)

    def stop(self) -> None:
        """End both."""
        self.service.kill()
        self.server.stop()

    def crash_service(self) -> None:
        """Kill the service process and start it again."""
        self.service.kill()
        self.service.start()

    def heal(self) -> None:
        """Start what a failed scenario left dead, so that it does not fail the next ones too."""
        if self.server.pid is None:
            self.server.start()
        if not self.service.is_running:
            self.service.start()

    def logs(self) -> str:
        """Give the ends of both logs."""
        return f"--- service\n{self.service.log_tail()}\n--- server\n{self.server.log_tail()}"


def _processes(
    column: Column, directory: Path, settings: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[RestateServer | EngineProcess, ServiceProcess | ServicesWithin]:
    settings = {**column.setting.environment, **settings}
    environment = {"DURABLY_CONFORMANCE_MAX_PROTOCOL": str(column.setting.protocol_version), **environment}
    if column.server is Server.ENGINE:
        engine = EngineProcess(column, directory, settings=settings, environment=environment)
        if column.host is Host.IN_PROCESS:
            return engine, ServicesWithin(engine)
        return engine, ServiceProcess(column, directory, environment)
    server = RestateServer(settings=settings, binary=find_server(Path(__file__)), directory=directory)
    return server, ServiceProcess(column, directory, environment)


class Stage:
    """One scenario's view of a pair. Scenarios that share a pair use keys of their own.

    Args:
        pair: The running server and service.
        seconds: How long the scenario may take.
    """

    def __init__(self, pair: Pair, seconds: float) -> None:
        """Begin the scenario's time."""
        self.pair = pair
        self.column = pair.column
        self.deadline = Deadline(seconds)
        self.ingress = Ingress(pair.server.ingress_url, self.deadline)
        self.admin = Admin(pair.server.admin_url, self.deadline)
        self._resources = ExitStack()

    def key(self) -> str:
        """Give a key that no other scenario uses."""
        return uuid.uuid4().hex

    def another_pair(
        self, name: str, *, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> Pair:
        """Make a pair that is stopped with the scenario; the caller starts it."""
        pair = Pair(self.column, self.pair.directory / name, settings=settings, environment=environment)
        self._resources.callback(pair.stop)
        return pair

    def poll(self, probe: Callable[[], ResultT], *, until: Callable[[ResultT], bool] = bool, what: str) -> ResultT:
        """Ask again and again, whatever goes wrong, until the answer is the wanted one.

        Args:
            probe: Asks once.
            until: Accepts or refuses the answer.
            what: Names the awaited fact in the failure.

        Raises:
            AssertionError: The scenario's time was up first; the text has the last answer or error.
        """
        last: str = "never asked"
        while True:
            try:
                answer = probe()
                if until(answer):
                    return answer
                last = f"the answer was {answer!r}"
            except (OSError, http.client.HTTPException, InvocationFailedError, AssertionError) as error:
                last = f"{type(error).__name__}: {error}"
            try:
                left = self.deadline.remaining()
            except TimeoutError as timeout:
                raise AssertionError(f"{timeout}. Waiting until {what}; at last {last}") from timeout
            time.sleep(min(POLL_SECONDS, left))

    def is_unsupported(self, submission: Submission) -> None:
        """Require that an invocation's attempts fail because the protocol version lacks a feature; then kill it."""
        failure = f"select last_failure from sys_invocation where id = '{submission.invocation_id}'"
        try:
            rows = self.poll(
                lambda: self.admin.query(f"{failure} and last_failure is not null"), what="an attempt has failed"
            )
            assert UNSUPPORTED_FEATURE in rows[0]["last_failure"], rows
        finally:
            self.admin.end(submission.invocation_id, "kill")

    def elapsed_since(self, begun: float) -> float:
        """Give the seconds since a `time.monotonic()`."""
        return time.monotonic() - begun

    def close(self) -> None:
        """Stop what the scenario made."""
        self._resources.close()

    def open_invocations(self) -> str:
        """Describe what has not completed, for a failure's text."""
        admin = Admin(self.pair.server.admin_url, Deadline(5))
        columns = (
            "id, target, status, retry_count, last_failure_error_code, last_failure, suspended_waiting_for_completions"
        )
        rows = admin.query(f"select {columns} from sys_invocation where status != 'completed' limit 20")
        return "\n".join(str(row) for row in rows)
