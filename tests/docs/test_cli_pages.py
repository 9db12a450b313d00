"""The pages about the command line keep their word: what they show is run, what they list is all there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from durably.cli.app import app
from durably.cli.exits import Exit
from durably.operations.invocations import INVOCATION_FIELDS, Status
from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from tests.cli.conftest import eventually
from tests.cli.processes import command, copied_example, running_dev
from tests.cli.test_example_project import ORDERS, is_under_way, visit
from tests.conformance.suite.binary import require_server

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHOWN = re.compile(r"^```console\n\$ durably (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
VARYING = (
    (re.compile(r"inv_\w+"), "inv_…"),
    (re.compile(r"process \d+"), "process N"),
    (re.compile(r"\d+ KiB"), "N KiB"),
    (re.compile(r"\d+ journals"), "N journals"),
    (re.compile(r"version \d+\.\d+\.\d+"), "version N"),
)


def shown(arguments: str) -> str:
    """Give the output that the page shows for a command."""
    blocks = dict(SHOWN.findall((DOCS / "howto" / "cli.md").read_text(encoding="utf-8")))
    return steady(blocks[arguments])


def steady(text: str) -> str:
    """Take out what is different each time."""
    for pattern, put in VARYING:
        text = pattern.sub(put, text)
    return text.strip()


def test_the_output_of_the_example_project(tmp_path: Path):
    """`dev`, `doctor` and `journal replay` write what the page shows, in a copy of the example project."""
    with copied_example(tmp_path) as (copy, env):
        port = free_port()
        with running_dev(copy, "shop.app:app", "--port", str(port), env=env) as dev:
            dev.wait_for("Application startup complete")
            screen = dev.output[: dev.output.index("Ctrl-C stops it.") + len("Ctrl-C stops it.")]
            assert screen.replace(f":{port}", ":8000") == shown("dev shop.app:app")
            doctor = command(copy, "doctor", "shop.app:app", env=env)
            assert steady(doctor.stdout) == shown("doctor shop.app:app")
            visit(f"http://127.0.0.1:{port}")
            eventually(lambda: is_under_way(copy, []))
        text = (copy / ORDERS).read_text(encoding="utf-8")
        (copy / ORDERS).write_text(text.replace('"reserve",', '"hold",'), encoding="utf-8")
        replayed = command(copy, "journal", "replay", "shop.app:app", env=env)
        assert steady(replayed.stdout + replayed.stderr) == shown("journal replay shop.app:app")


def test_the_output_on_a_server(tmp_path: Path):
    """`dev` and `doctor` write what the page shows with a real server, too."""
    binary = require_server()
    with RestateServer(binary=binary) as server, copied_example(tmp_path) as (copy, env):
        port = free_port()
        where = ["--url", server.ingress_url, "--admin-url", server.admin_url]
        usual = {server.ingress_url: "http://127.0.0.1:8080", server.admin_url: "http://127.0.0.1:9070"}

        def as_usual(text: str) -> str:
            for here, there in {**usual, f":{port}": ":8000"}.items():
                text = text.replace(here, there)
            return steady(text)

        env = {**env, "DURABLY_SECRET_KEY": "only for this test"}
        with running_dev(copy, "shop.app:app", "--port", str(port), *where, env=env) as dev:
            dev.wait_for("Running on")
            screen = dev.output[: dev.output.index("Ctrl-C stops it.") + len("Ctrl-C stops it.")]
            assert as_usual(screen) == shown("dev shop.app:app --url http://127.0.0.1:8080")
            doctor = command(copy, "doctor", f"http://127.0.0.1:{port}/restate", *where)
            expected = shown("doctor http://127.0.0.1:8000/restate --url http://127.0.0.1:8080")
            assert as_usual(doctor.stdout) == expected


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through the program's commands."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", each


@pytest.mark.parametrize(("name", "found"), list(commands(typer.main.get_command(app))), ids=str)
def test_every_command_and_option_is_listed(name: str, found: Any):
    """The reference has a row for each command, with each of its options."""
    text = (
        (DOCS / "reference" / "cli.md").read_text(encoding="utf-8").partition("## Commands")[2].partition("## JSON")[0]
    )
    [row] = re.findall(rf"^\| `{name}(?:`| .*?`) \|.*$", text, re.MULTILINE)
    if "the same" in row:
        [row_before] = re.findall(r"^\| `invocations cancel .*$", text, re.MULTILINE)
        row += row_before
    common = {"--url", "--admin-url", "--db", "--token", "--help"} if name != "dev" else {"--help"}
    options = {
        option
        for each in found.params
        if not getattr(each, "hidden", False)
        for option in (*each.opts, *each.secondary_opts)
        if option.startswith("--")
    }
    assert {option for option in options - common if f"`{option}`" not in row} == set()


def test_exit_codes_and_fields_are_listed():
    """The reference names each exit code, each field of an invocation, and each status."""
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert {f"| {int(code)} |" for code in Exit if f"| {int(code)} |" not in text} == set()
    assert {name for name in (*INVOCATION_FIELDS, *Status) if f"`{name}`" not in text} == set()
