"""`durably dev`: each kind of application is recognised, served, registered, and served again when its code changes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from durably.cli.dev import changed_files, snapshot
from durably.testing.ports import free_port
from tests.cli.conftest import Place, Run, eventually
from tests.cli.processes import command, running_dev

SERVICES = """
import durably

greeter = durably.Service("Greeter")

@greeter.handler()
def greet(ctx: durably.SyncContext, name: str) -> str:
    return f"Hello {name}"
"""
APPS = {
    "durably services": "app = [greeter]",
    "durably ASGI app": "app = durably.app([greeter])",
    "durably WSGI app": "app = durably.wsgi_app([greeter])",
    "FastAPI app with durably": """
from fastapi import FastAPI
from durably_fastapi import Durably

app = FastAPI()
Durably(app, services=[greeter])
""",
    "FastAPI app": """
from fastapi import FastAPI

app = FastAPI()
app.mount("/restate", durably.app([greeter]))
""",
    "Flask app": """
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/restate": durably.wsgi_app([greeter])})
""",
    "Django app (WSGI)": """
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

settings.configure(SECRET_KEY="for a test", ROOT_URLCONF="main", ALLOWED_HOSTS=["*"])
urlpatterns = []
served = durably.wsgi_app([greeter])


class WithDurably(WSGIHandler):
    def __call__(self, environ, start_response):
        if environ["PATH_INFO"].startswith("/restate/"):
            return served({**environ, "PATH_INFO": environ["PATH_INFO"][8:]}, start_response)
        return super().__call__(environ, start_response)


app = WithDurably()
""",
    "WSGI app": """
served = durably.wsgi_app([greeter])

def app(environ, start_response):
    return served({**environ, "PATH_INFO": environ["PATH_INFO"].removeprefix("/restate")}, start_response)
""",
}


def ports() -> list[str]:
    """Choose free ports."""
    chosen = {"--port": free_port(), "--ingress-port": free_port(), "--admin-port": free_port()}
    return [text for option, port in chosen.items() for text in (option, str(port))]


def greeted(folder: Path, where: Sequence[str] = ()) -> str | None:
    """Call the handler; None while that fails."""
    called = command(folder, "call", "Greeter/greet", '"Ada"', *where)
    return json.loads(called.stdout) if called.returncode == 0 else None


@pytest.mark.parametrize("kind", list(APPS))
def test_each_kind_runs_on_the_embedded_engine(tmp_path: Path, kind: str):
    """It is told what it is, and its handler can be called through the engine's file at once."""
    (tmp_path / "main.py").write_text(SERVICES + APPS[kind], encoding="utf-8")
    with running_dev(tmp_path, "main:app", "--no-reload", *ports()) as dev:
        dev.wait_for("Ctrl-C stops it.")
        assert dev.output.startswith(f"main:app: a {kind}, on ")
        eventually(lambda: greeted(tmp_path) == "Hello Ada")
        dev.process.terminate()
        assert dev.process.wait(20) == 0
    assert "Traceback" not in dev.output


@pytest.mark.parametrize("kind", ["durably ASGI app", "Flask app"])
def test_it_registers_at_a_given_server(tmp_path: Path, kind: str, server_url: tuple[str, str]):
    """With --url the application is served over HTTP and registered there; what is spoken is said."""
    (tmp_path / "main.py").write_text(SERVICES + APPS[kind], encoding="utf-8")
    where = ["--url", server_url[0], "--admin-url", server_url[1]]
    with running_dev(tmp_path, "main:app", "--no-reload", "--port", str(free_port()), *where) as dev:
        dev.wait_for("Registered http://")
        spoken = "HTTP/1.1" if kind == "Flask app" else "HTTP/2"
        assert f"over {spoken}: Greeter" in dev.output
        assert greeted(tmp_path, where) == "Hello Ada"


@pytest.fixture(scope="module")
def server_url(server_place: Place) -> tuple[str, str]:
    """Both URLs of the real server."""
    return server_place.options[1], server_place.options[3]


def test_changed_code_is_served(tmp_path: Path):
    """A change is noticed, also one that cannot be imported; the next one that can is served."""
    main = tmp_path / "main.py"
    main.write_text(SERVICES + APPS["durably services"], encoding="utf-8")
    with running_dev(tmp_path, "main:app", *ports()) as dev:
        dev.wait_for("engine ready")
        eventually(lambda: greeted(tmp_path) == "Hello Ada")
        main.write_text(SERVICES + "app = 1 / 0", encoding="utf-8")
        dev.wait_for("main cannot be imported: ZeroDivisionError")
        main.write_text(SERVICES.replace("Hello", "Ciao") + APPS["durably services"], encoding="utf-8")
        dev.wait_for("engine ready", times=2)
        eventually(lambda: greeted(tmp_path) == "Ciao Ada")


def test_ctrl_c_and_the_token(tmp_path: Path):
    """Ctrl-C, which both processes get, stops it; a token is asked for, and stands in no command line."""
    (tmp_path / "main.py").write_text(SERVICES + APPS["durably services"], encoding="utf-8")
    chosen = ports()
    secret = "a-token-of-some-length"
    with running_dev(tmp_path, "main:app", *chosen, env={"DURABLY_TOKEN": secret}) as dev:
        dev.wait_for("engine ready")
        where = ["--url", f"http://127.0.0.1:{chosen[3]}", "--admin-url", f"http://127.0.0.1:{chosen[5]}"]
        assert command(tmp_path, "services", *where).returncode == 3
        assert greeted(tmp_path, [*where, "--token", secret]) == "Hello Ada"
        both = [psutil.Process(dev.process.pid), *psutil.Process(dev.process.pid).children(recursive=True)]
        assert not any(secret in " ".join(each.cmdline()) for each in both)
        for each in both:
            each.send_signal(signal.SIGINT)
        assert dev.process.wait(20) == 0
        assert "Traceback" not in dev.output


def test_what_cannot_be_served(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    """What cannot be loaded, and a port that is taken, end it with exit code 2 and one message."""
    (tmp_path / "main.py").write_text("number = 1\nraise_it = 1\n", encoding="utf-8")
    for target, words in (
        ("main", "does not name an application"),
        ("nowhere:app", "There is no module 'nowhere'"),
        ("main:app", "main has no 'app'"),
        ("main:number", "is a int, which nothing can serve"),
    ):
        ended = command(tmp_path, "dev", target, *ports())
        assert ended.returncode == 2
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("dev", "main:app", "--port", str(taken.getsockname()[1]))
        assert ended.code == 2
        assert "--port" in ended.err
    assert run("dev", "main:app", "--db", "x.db", "--url", "http://localhost:1").code == 2
    assert run("dev", "main:app", "--admin-url", "http://localhost:1").code == 2
    assert run("dev", "main:app", "--url", "http://localhost:1").code == 2


def test_what_counts_as_changed(tmp_path: Path):
    """Python files count, new, changed and gone ones; those of virtual environments and hidden folders do not."""
    for name in ("a.py", "pkg/b.py", "c.txt", ".git/d.py", "venv/pyvenv.cfg", "venv/e.py", "__pycache__/f.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("", encoding="utf-8")
    before = snapshot(tmp_path)
    assert sorted(before) == ["a.py", "pkg/b.py"]
    assert changed_files(before, {"a.py": 0, "new.py": 1}) == ["a.py", "new.py", "pkg/b.py"]
    assert changed_files(before, before) == []
