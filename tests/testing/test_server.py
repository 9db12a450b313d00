"""The runner of a real `restate-server`: finding, starting, crashing, and what it says when that fails."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from durably.errors import ConfigurationError
from durably.testing.ports import free_port
from durably.testing.server import RestateServer, ServerFailedError, ServerNotFoundError, find_server
from tests.conformance.suite.binary import require_server


def program(path: Path, text: str = "exit 3") -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder from which no server is found."""
    monkeypatch.delenv("DURABLY_RESTATE_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def deployments(server: RestateServer) -> list[str]:
    """Give the addresses that the server knows."""
    with urllib.request.urlopen(f"{server.admin_url}/deployments", timeout=5) as answer:
        return [deployment["uri"] for deployment in json.load(answer)["deployments"]]


def test_the_variable_comes_first(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable wins over PATH, which wins over what npm installed."""
    on_path = program(nothing_installed / "bin" / "restate-server")
    assert find_server(nothing_installed) == on_path
    named = program(nothing_installed / "named")
    monkeypatch.setenv("DURABLY_RESTATE_SERVER", str(named))
    assert find_server(nothing_installed) == named


def test_a_variable_that_names_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo in the variable is an error that names it, not a silent fallback."""
    monkeypatch.setenv("DURABLY_RESTATE_SERVER", "/nonexistent/restate-server")
    with pytest.raises(ConfigurationError, match="DURABLY_RESTATE_SERVER"):
        find_server()


@pytest.mark.parametrize("folder", [".", ".servers"])
def test_npm_packages_are_found_above(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """The npm package of this machine's kind is found from a folder below."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    package = f"restate-server-{sys.platform}-x64"
    binary = nothing_installed / folder / "node_modules" / "@restatedev" / package / "bin" / "restate-server"
    program(binary)
    below = nothing_installed / "a" / "b"
    below.mkdir(parents=True)
    assert find_server(below) == binary


def test_without_a_server_the_error_says_how_to_get_one(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the command that installs a server."""
    monkeypatch.chdir(nothing_installed)
    with pytest.raises(ServerNotFoundError, match="npm install"):
        RestateServer()


def test_a_server_that_exits_is_reported_with_its_log(tmp_path: Path) -> None:
    """When the process ends instead of becoming healthy, its last words are in the error and nothing is left."""
    server = RestateServer(binary=program(tmp_path / "server", "echo cannot bind; exit 1"), directory=tmp_path)
    with pytest.raises(ServerFailedError, match="cannot bind"):
        server.start()
    assert server.pid is None


def test_a_server_that_never_answers_is_killed(tmp_path: Path) -> None:
    """A process that is not healthy in time does not stay behind."""
    script = program(tmp_path / "server", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    server = RestateServer(binary=script, directory=tmp_path, startup_timeout=timedelta(seconds=0.5))
    with pytest.raises(ServerFailedError, match="did not become healthy"):
        server.start()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("end", [RestateServer.kill, RestateServer.terminate], ids=["kill", "terminate"])
def test_addresses_and_data_survive_the_end_of_the_process(end: Callable[[RestateServer], None]) -> None:
    """After a crash or a stop the same object starts again on the same ports and data; `stop` removes the data."""
    server = RestateServer(binary=require_server())
    with server:
        first = server.pid
        urls = (server.ingress_url, server.admin_url)
        assert deployments(server) == []
        with pytest.raises(ServerFailedError, match="already running"):
            server.start()
        end(server)
        assert server.pid is None
        server.start()
        assert server.pid not in (None, first)
        assert (server.ingress_url, server.admin_url) == urls
    assert not server.directory.exists()


def test_a_refused_deployment_carries_the_reason() -> None:
    """An endpoint that cannot be reached is refused with the server's own words."""
    with RestateServer(binary=require_server()) as server:
        uri = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(ServerFailedError, match="META0003"):
            server.register(uri, additional_headers={"x-test": "1"})
        assert deployments(server) == []
