"""`durably register` and `durably doctor`: the way between a runtime and an endpoint, on both runtimes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import durably
from durably.testing.ports import free_port
from durably.testing.served import AppServer
from tests.cli.conftest import Place, Run
from tests.cli.processes import command
from tests.cli.test_dev import SERVICES

KEY = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"
helper = durably.Service("Helper")


@helper.handler()
async def help_out(ctx: durably.Context) -> str:
    """Help."""
    return "helped"


@pytest.fixture(scope="module")
def streaming() -> Iterator[str]:
    """An endpoint whose server speaks HTTP/2."""
    serving = AppServer(durably.app([helper]))
    serving.start()
    yield serving.url
    serving.stop()


@pytest.fixture(scope="module")
def not_streaming() -> Iterator[str]:
    """An endpoint whose server speaks HTTP/1.1 only."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(durably.app([helper]), port=port, log_level="error", lifespan="off"))

    def serve() -> None:
        asyncio.run(server.serve())

    thread = threading.Thread(target=serve)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def verdicts(findings: list[dict[str, Any]]) -> dict[str, str]:
    """Give the verdict of each check."""
    return {each["check"]: each["verdict"] for each in findings}


def test_http_2_is_tried_first(on: Run, streaming: str):
    """What speaks HTTP/2 is registered so; a second time it is known; its services are shown."""
    first = on("register", streaming, "--json")
    assert first.code == 0, first.err
    assert first.json["http_version"] == "HTTP/2"
    assert [service["name"] for service in first.json["services"]] == ["Helper"]
    again = on("register", streaming)
    assert again.code == 0
    assert "Registered already, over HTTP/2" in again.err
    assert "help_out" in again.out
    assert "Registered" in on("register", streaming, "--force", "--yes").err


def test_http_11_is_fallen_back_to(on: Run, not_streaming: str):
    """What does not speak HTTP/2 is registered over HTTP/1.1, and that is said; --dry-run registers nothing."""
    tried = on("register", not_streaming, "--dry-run")
    assert tried.code == 0, tried.err
    assert "Would be registered, over HTTP/1.1" in tried.err
    made = on("register", not_streaming)
    assert made.code == 0
    assert "HTTP/1.1 is used" in made.err
    assert on("call", "Helper/help_out").json == "helped"


def test_nothing_is_there(on: Run):
    """An address where nobody listens is exit code 1 with the runtime's reason."""
    ended = on("register", f"http://127.0.0.1:{free_port()}")
    assert (ended.code, ended.out) == (1, "")
    assert "is not registered" in ended.err


def test_the_doctor_of_an_endpoint(on: Run, place: Place, streaming: str, not_streaming: str):
    """Endpoint, mode with its reason, and the way there are checked; less than streaming is a warning."""
    well = on("doctor", streaming, "--json")
    assert well.code == 0, well.out
    assert set(verdicts(well.json).values()) == {"ok"}
    assert {"endpoint", "mode", "unsigned", "server to app"} <= set(verdicts(well.json))
    slower = on("doctor", not_streaming, "--json")
    assert slower.code == 0
    assert verdicts(slower.json)["mode"] == "warn"
    gone = on("doctor", f"http://127.0.0.1:{free_port()}", "--json")
    assert gone.code == 1
    assert verdicts(gone.json)["endpoint"] == "fail"
    assert verdicts(gone.json)["server to app"] == "fail"
    assert "host.docker.internal" in next(each for each in gone.json if each["check"] == "server to app")["remedy"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("app = durably.app([greeter])", {"identity key": "warn", "middleware": "ok"}),
        (
            "app = durably.app([greeter], identity_keys=[KEY])",
            {"identity key": "ok"},
        ),
        ("from fastapi import FastAPI\napp = FastAPI()", {"services": "fail"}),
        (
            "from fastapi import FastAPI\nfrom starlette.middleware.gzip import GZipMiddleware\n"
            "app = FastAPI()\napp.add_middleware(GZipMiddleware)",
            {"middleware": "warn"},
        ),
        (
            "from fastapi import FastAPI\nfrom durably_fastapi import Durably\napp = FastAPI()\n"
            "d = Durably(app, url='memory://', services=[greeter])",
            {"workers": "warn", "identity key": "ok", "runtime": "ok"},
        ),
        (
            "from fastapi import FastAPI\nfrom durably_fastapi import Durably\napp = FastAPI()\n"
            "d = Durably(app, url='http://127.0.0.1:1', services=[greeter])",
            {"runtime": "warn", "server": "warn", "ingress": "fail"},
        ),
        (
            "from fastapi import FastAPI\nfrom durably_fastapi import Durably\napp = FastAPI()\n"
            "d = Durably(app, url='http://10.255.255.1:1', admin_url='http://127.0.0.1:1',"
            " service_url='http://192.0.2.1:1', services=[greeter])",
            {"identity key": "fail", "server": "fail"},
        ),
        ("import no_such_module", {"application": "fail"}),
    ],
)
def test_the_doctor_of_an_application(tmp_path: Path, code: str, expected: dict[str, str]):
    """What is wrong with an application is found without starting it; the exit code tells whether something fails."""
    (tmp_path / "main.py").write_text(f"{SERVICES}\nKEY = {KEY!r}\n{code}\n", encoding="utf-8")
    ended = command(tmp_path, "doctor", "main:app", "--json")
    found = verdicts(json.loads(ended.stdout))
    assert expected.items() <= found.items(), ended.stdout
    assert ended.returncode == (1 if "fail" in found.values() else 0)
    assert "Traceback" not in ended.stderr
