"""`durably dev`, `doctor` and `journal replay` on the Django project, as someone who changes it would use them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from tests.cli.conftest import eventually
from tests.cli.django_copies import WORKFLOW, copy_project, sign_up, waits_for_a_day
from tests.cli.processes import command, running_dev
from tests.conformance.suite.binary import require_server

ASGI, WSGI = "django_signup.asgi:application", "django_signup.wsgi:application"
LAST = "Ctrl-C stops it."
VARYING = (
    (re.compile(r"inv_\w+"), "inv_…"),
    (re.compile(r"process \d+"), "process N"),
    (re.compile(r"\d+ KiB"), "N KiB"),
)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "cli.md"


def steady(text: str) -> str:
    """Take out what is different each time."""
    for pattern, put in VARYING:
        text = pattern.sub(put, text)
    return text.strip()


def shown(arguments: str) -> str:
    """Give the output that the page shows for a command."""
    found = re.findall(
        r"^```console\n\$ durably (.*)\n((?:.*\n)*?)```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return steady(dict(found)[arguments])


def changed(copy: Path, env: dict[str, str], before: str, after: str, source: Sequence[str], target: str) -> str:
    """Change the workflow, replay, change it back; gives what the command wrote."""
    original = (copy / WORKFLOW).read_text(encoding="utf-8")
    assert before in original
    (copy / WORKFLOW).write_text(original.replace(before, after), encoding="utf-8")
    replayed = command(copy, "journal", "replay", target, *source, env=env)
    (copy / WORKFLOW).write_text(original, encoding="utf-8")
    assert replayed.returncode == 1, replayed.stdout + replayed.stderr
    assert "Traceback" not in replayed.stderr
    return replayed.stdout + replayed.stderr


def test_with_the_embedded_engine(tmp_path: Path):
    """What the commands write is on the page; the journal that one version wrote is not followed by a changed one."""
    copy, env = copy_project(tmp_path)
    port = free_port()
    with running_dev(copy, ASGI, "--port", str(port), env=env) as dev:
        dev.wait_for("Application startup complete")
        assert dev.output[: dev.output.index(LAST) + len(LAST)].replace(f":{port}", ":8000") == shown(f"dev {ASGI}")
        assert steady(command(copy, "doctor", WSGI, env=env).stdout) == shown(f"doctor {WSGI}")
        sign_up(f"http://127.0.0.1:{port}")
        eventually(lambda: waits_for_a_day(copy, env, []))
    same = command(copy, "journal", "replay", ASGI, env=env)
    assert (same.returncode, "all of them are followed" in same.stderr) == (0, True), same.stdout + same.stderr
    gone = changed(copy, env, 'ctx.run_typed("create account", create_account, key=key)', "", [], ASGI)
    assert "run 'create account'" in gone
    assert f"at:      {WORKFLOW}:" in gone
    assert steady(changed(copy, env, '"mail link"', '"mail"', [], WSGI)) == shown(f"journal replay {WSGI}")
    # To look at the project has started nothing; to serve it does, before anybody asks for a page.
    assert "no process drives the file" in command(copy, "doctor", WSGI, env=env).stdout
    with running_dev(copy, WSGI, "--port", str(port), env=env) as dev:
        dev.wait_for(f"{WSGI}: a Django app (WSGI) with durably, on waitress")
        eventually(lambda: "runs the handlers" in command(copy, "doctor", WSGI, env=env).stdout)


def test_with_a_server(tmp_path: Path):
    """The same on a real server: `dev` registers the project, and a changed handler is found in its journals."""
    binary = require_server()
    with RestateServer(binary=binary) as server:
        copy, env = copy_project(tmp_path)
        port = free_port()
        where = ["--url", server.ingress_url, "--admin-url", server.admin_url]
        with running_dev(copy, ASGI, "--port", str(port), *where, env=env) as dev:
            dev.wait_for("Running on")
            screen = dev.output[: dev.output.index(LAST) + len(LAST)].replace(f":{port}", ":8000")
            usual = {server.ingress_url: "http://127.0.0.1:8080", server.admin_url: "http://127.0.0.1:9070"}
            for here, there in usual.items():
                screen = screen.replace(here, there)
            assert screen == shown(f"dev {ASGI} --url http://127.0.0.1:8080")
            eventually(lambda: json.loads(command(copy, "services", "--json", *where).stdout))
            sign_up(f"http://127.0.0.1:{port}")
            eventually(lambda: waits_for_a_day(copy, env, where))
        source = ["--from", server.admin_url]
        same = command(copy, "journal", "replay", ASGI, *source, env=env)
        assert (same.returncode, "all of them are followed" in same.stderr) == (0, True), same.stdout + same.stderr
        assert "name: 'mail link' in the journal, 'mail' now" in changed(
            copy, env, '"mail link"', '"mail"', source, ASGI
        )


def test_what_is_named_wrongly(tmp_path: Path):
    """`manage.py` leads to the right name, and a runtime in the settings is not overruled in silence."""
    copy, env = copy_project(tmp_path, with_tables=False)
    named = command(copy, "dev", "manage.py", env=env)
    assert named.returncode == 2
    assert "Write django_signup.asgi:application, or django_signup.wsgi:application." in named.stderr
    settings = copy / "django_signup" / "settings.py"
    text = settings.read_text(encoding="utf-8")
    reads = 'os.environ.get("DURABLY_URL", "sqlite:///durably.db")'
    assert reads in text
    settings.write_text(text.replace(reads, '"sqlite:///mine.db"'), encoding="utf-8")
    refused = command(copy, "dev", ASGI, "--db", "other.db", "--port", str(free_port()), env=env)
    assert refused.returncode == 2
    assert "names sqlite:///mine.db, and that counts, not --db" in refused.stderr
    settings.write_text(text.replace(reads, '"sqlite:///mine.db", "URLL": "x"'), encoding="utf-8")
    doctor = command(copy, "doctor", ASGI, env=env)
    assert doctor.returncode == 1
    assert "fail  application  URLL in the configuration: there is no setting 'urll'." in doctor.stdout
