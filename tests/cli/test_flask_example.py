"""`durably dev`, `doctor` and `journal replay` on the report app: a Flask factory, as its author would use them."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from tests.cli.conftest import eventually
from tests.cli.processes import command, copied_reports, running_dev
from tests.conformance.suite.binary import require_server

APP = "reports:create_app()"
CHANGES = {"views.py": ('"collect"', '"gather"'), "releases.py": ('f"ask {asked}"', 'f"mail {asked}"')}


def visit(base: str) -> None:
    """Log in, and have a report built; its release waits for somebody then."""
    with httpx.Client(base_url=base, timeout=20) as client:
        form = {"name": "ada", "email": "ada@home.example", "password": "correct horse"}
        assert client.post("/auth/register", data=form).status_code == 201
        assert client.post("/auth/login", data=form).status_code == 200
        assert client.post("/reports", json={"month": "2026-05", "region": "north"}).status_code == 201


def is_waiting(copy: Path, where: list[str]) -> bool:
    """Tell whether the approvers were asked."""
    listed = json.loads(command(copy, "invocations", "list", "--json", *where).stdout)
    found = {each["target"].split("/")[0]: each for each in listed}
    return "releases" in found and found["releases"]["journal_size"] > 3


@pytest.mark.parametrize("runtime", ["engine", "server"])
def test_a_changed_handler_is_found(tmp_path: Path, runtime: str):
    """The app is served with its runtime, and a later version that does not follow its journals is told so.

    The view is found by its stored request, the workflow beside it; the report names the lines.
    """
    with copied_reports(tmp_path) as (copy, env):
        port = free_port()
        if runtime == "engine":
            with running_dev(copy, APP, "--port", str(port), env=env) as dev:
                dev.wait_for("reports: build")
                eventually(lambda: healthy(port))
                visit(f"http://127.0.0.1:{port}")
                eventually(lambda: is_waiting(copy, []))
            check_doctor(copy, env)
            check_changes(copy, env, [])
            return
        with RestateServer(binary=require_server()) as server:
            where = ["--url", server.ingress_url, "--admin-url", server.admin_url]
            with running_dev(copy, APP, "--port", str(port), *where, env=env):
                eventually(lambda: len(json.loads(command(copy, "services", "--json", *where).stdout)) == 3)
                visit(f"http://127.0.0.1:{port}")
                eventually(lambda: is_waiting(copy, where))
            check_changes(copy, env, ["--from", server.admin_url])


def healthy(port: int) -> bool:
    """Tell whether the app serves."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/restate/health", timeout=5).is_success
    except httpx.TransportError:
        return False


def check_doctor(copy: Path, env: dict[str, str]) -> None:
    """Nothing is wrong with the app, of which all services are seen."""
    found = command(copy, "doctor", APP, "--json", env=env)
    assert found.returncode == 0, found.stdout + found.stderr
    by_name = {each["check"]: each for each in json.loads(found.stdout)}
    assert by_name["application"]["text"].endswith("a Flask app with durably")
    assert by_name["services"]["text"] == "3: mailings, releases, reports"


def check_changes(copy: Path, env: dict[str, str], source: list[str]) -> None:
    """Replay against the code as it is, and against a changed one."""
    same = command(copy, "journal", "replay", APP, *source, env=env)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "all of them are followed" in same.stderr
    for name, (before, after) in CHANGES.items():
        file = copy / "reports" / name
        text = file.read_text(encoding="utf-8")
        assert before in text
        file.write_text(text.replace(before, after), encoding="utf-8")
    changed = command(copy, "journal", "replay", APP, *source, env=env)
    assert changed.returncode == 1, changed.stdout + changed.stderr
    for words in ("name: 'collect' in the journal, 'gather' now", "name: 'ask 1' in the journal, 'mail 1' now"):
        assert words in changed.stdout
    for name in CHANGES:
        assert f"at:      reports/{name}:" in changed.stdout
    assert "Traceback" not in changed.stderr
