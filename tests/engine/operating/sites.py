"""A server with versions of the services beside it: the engine, or the real server to compare with.

Owns both kinds behind one face, so that one test says what either must do.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from durably.testing.oracles import check_file, check_image, check_quiescent, require
from durably.testing.server import RestateServer
from durably.testing.store_images import StoreImage
from tests.conformance.suite.clients import Admin, Answer, Deadline, Ingress, InvocationFailedError
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess
from tests.conformance.suite.processes import ServiceProcess

__all__ = ["JSON", "Site"]

ResultT = TypeVar("ResultT")
JSON = {"content-type": "application/json"}
_SECONDS = 30.0
_OPEN = "select id, target, status from sys_invocation where status != 'completed'"
_SETTINGS = {"RESTATE_WORKER__CLEANUP_INTERVAL": "1s"}


class _Services(ServiceProcess):
    asgi = "tests.engine.operating.services:app"


class Site:
    """A running server, and services that are started and registered version by version.

    Args:
        server: Which kind.
        directory: Where files and logs go.
    """

    def __init__(self, server: Server, directory: Path) -> None:
        """Start the server."""
        directory.mkdir(parents=True, exist_ok=True)
        self.kind = server
        self.directory = directory
        self.mood = directory / "good-mood"
        self._column = Column(Host.HYPERCORN, Handlers.ASYNC, Setting.DEFAULT, server=server)
        self.server = (
            EngineProcess(self._column, directory)
            if server is Server.ENGINE
            else RestateServer(directory=directory, settings=_SETTINGS)
        )
        self._services: dict[str, _Services] = {}
        self.server.start()

    @property
    def ingress(self) -> Ingress:
        """A client with time for one thing."""
        return Ingress(self.server.ingress_url, Deadline(_SECONDS))

    @property
    def admin(self) -> Admin:
        """An operator with time for one thing."""
        return Admin(self.server.admin_url, Deadline(_SECONDS))

    def register(self, version: str) -> str:
        """Start a version of the services, if it does not run, and make it the latest; give the deployment's id."""
        if version not in self._services:
            environment = {"DURABLY_TEST_VERSION": version, "DURABLY_TEST_MOOD": str(self.mood)}
            service = self._services[version] = _Services(self._column, self.directory / version, environment)
            service.start()
        return str(self.server.register(self._services[version].url)["id"])

    def close(self, *, kill: bool = False) -> None:
        """Stop everything.

        Args:
            kill: Whether invocations may be open; they are killed.

        Raises:
            AssertionError: What is left in an engine's file is not sound, or something is still held.
        """
        try:
            for row in self.admin.query(_OPEN) if kill else ():
                self.admin.end(row["id"], "kill")
            if isinstance(self.server, EngineProcess):
                self.poll(lambda: not self.admin.query(_OPEN), what="everything has ended")
                image = StoreImage.read(self.server.file)
                require(*check_image(image), *check_quiescent(image), *check_file(self.server.file))
        finally:
            self._stop()

    def _stop(self) -> None:
        for service in self._services.values():
            service.kill()
        self.server.stop()

    def crash_server(self, after_seconds: float) -> None:
        """Kill the server after a while and start it again."""
        time.sleep(after_seconds)
        self.server.kill()
        self.server.start()

    def operate(self, invocation_id: str, operation: str) -> Answer:
        """Pause, resume, restart or purge an invocation."""
        return self.admin.request("PATCH", f"/invocations/{invocation_id}/{operation}")

    def journal(self, invocation_id: str) -> list[str]:
        """Give what is stored of an invocation, entry by entry."""
        sql = f"select index, entry_type from sys_journal where id = '{invocation_id}' order by index"
        return [row["entry_type"] for row in self.admin.query(sql)]

    def status(self, invocation_id: str) -> str | None:
        """Give an invocation's status; None if it does not exist."""
        rows = self.admin.query(f"select status from sys_invocation where id = '{invocation_id}'")
        return str(rows[0]["status"]) if rows else None

    def awakeable(self, key: str) -> str:
        """Wait until a cell has an awakeable and give its id."""
        found = self.poll(lambda: self.ingress.call("Cell", key, "word_id"), what=f"{key} has an awakeable")
        return str(found)

    def complete(self, awakeable_id: str, how: str, body: bytes, content_type: str = "application/json") -> int:
        """Resolve or reject an awakeable from outside; give the status."""
        path = f"/restate/awakeables/{awakeable_id}/{how}"
        return self.ingress.request("POST", path, body, {"content-type": content_type}).status

    def poll(self, probe: Callable[[], ResultT], *, what: str, until: Callable[[ResultT], bool] = bool) -> ResultT:
        """Ask again and again, whatever goes wrong, until the answer is the wanted one."""
        end = time.monotonic() + _SECONDS
        last: object = None
        while time.monotonic() < end:
            try:
                answer = probe()
                if until(answer):
                    return answer
                last = answer
            except (OSError, http.client.HTTPException, InvocationFailedError) as error:
                last = error
            time.sleep(0.03)
        raise AssertionError(f"waited in vain until {what}; at last {last!r}")

    @staticmethod
    def key() -> str:
        """Give a key that nobody else uses."""
        return uuid.uuid4().hex

    def send(self, *target: str, argument: Any = None, headers: dict[str, str] | None = None) -> str:
        """Submit an invocation; give its id."""
        body = None if argument is None else json.dumps(argument).encode()
        content = JSON if body is not None else {}
        answer = self.ingress.request("POST", "/" + "/".join(target) + "/send", body, content | (headers or {}))
        assert answer.status == 202, answer
        return str(answer.value()["invocationId"])
