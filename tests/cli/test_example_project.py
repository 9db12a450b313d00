"""`durably dev` and `journal replay` on the example project, as someone who changes it would use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from tests.cli.conftest import eventually
from tests.cli.processes import command, copied_example, running_dev
from tests.conformance.suite.binary import require_server

ORDERS = Path("shop/routers/orders.py")
CHARGE = (
    'payment = await ctx.run_typed("charge", bank.charge, PATIENTLY, card=order.card, cents=cents, reference=number)'
)
CHANGES = {
    "a renamed step": ('"reserve",', '"hold",', "name: 'reserve' in the journal, 'hold' now"),
    "a step that is gone": (CHARGE, 'payment = "none"', "run 'charge'"),
    "a new step": ("await ctx.sleep(settings.packing)", 'await ctx.run_typed("pack", str)', "pack"),
}


def visit(base: str) -> None:
    """Sign up, and order something, without waiting for the parcel."""
    with httpx.Client(base_url=base, timeout=20) as client:
        account = {"name": "ada", "email": "ada@home.example", "password": "correct horse"}
        assert client.post("/accounts", json=account).status_code == 201
        token = client.post("/token", data={"username": "ada", "password": "correct horse"}).json()["access_token"]
        order = {"sku": "mug", "quantity": 2, "card": "4000-0001"}
        headers = {"authorization": f"Bearer {token}", "prefer": "respond-async"}
        assert client.post("/orders", json=order, headers=headers).status_code == 202


def is_under_way(copy: Path, where: list[str]) -> bool:
    """Tell whether the order waits for its parcel, which follows five entries, and the welcome mail is sent."""
    listed: list[dict[str, Any]] = json.loads(command(copy, "invocations", "list", "--json", *where).stdout)
    orders = [each for each in listed if each["target"] == "orders/place"]
    mails = [each for each in listed if each["target"].startswith("accounts_tasks")]
    return bool(orders and orders[0]["journal_size"] > 5) and any(each["completion_result"] for each in mails)


@pytest.mark.parametrize("runtime", ["engine", "server"])
def test_a_changed_handler_is_found(tmp_path: Path, runtime: str):
    """Journals that one version wrote are followed by it, and not by a changed one: the report names the line."""
    if runtime == "engine":
        with copied_example(tmp_path) as (copy, env):
            port = free_port()
            with running_dev(copy, "shop.app:app", "--port", str(port), env=env) as dev:
                dev.wait_for("Application startup complete")
                visit(f"http://127.0.0.1:{port}")
                eventually(lambda: is_under_way(copy, []))
            check_changes(copy, env, [])  # nobody drives the file any more
        return
    binary = require_server()
    with RestateServer(binary=binary) as server, copied_example(tmp_path) as (copy, env):
        port = free_port()
        where = ["--url", server.ingress_url, "--admin-url", server.admin_url]
        env["DURABLY_SECRET_KEY"] = "only for this test"
        with running_dev(copy, "shop.app:app", "--port", str(port), *where, env=env) as dev:
            dev.wait_for("Running on")
            eventually(lambda: json.loads(command(copy, "services", "--json", *where).stdout))
            visit(f"http://127.0.0.1:{port}")
            eventually(lambda: is_under_way(copy, where))
        check_changes(copy, env, ["--from", server.admin_url])


def check_changes(copy: Path, env: dict[str, str], source: list[str]) -> None:
    """Replay against the code as it is, and against each change of it."""
    env = {**env, "DURABLY_SECRET_KEY": "only for this test"}
    saved = ["--save", "journals.json"]
    same = command(copy, "journal", "replay", "shop.app:app", *source, *saved, env=env)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "all of them are followed" in same.stderr
    original = (copy / ORDERS).read_text(encoding="utf-8")
    for before, after, words in CHANGES.values():
        assert before in original
        (copy / ORDERS).write_text(original.replace(before, after), encoding="utf-8")
        for each in (source, ["--from", "journals.json"])[: 2 if "hold" in after else 1]:
            changed = command(copy, "journal", "replay", "shop.app:app", *each, env=env)
            assert changed.returncode == 1, changed.stdout + changed.stderr
            assert "orders/place" in changed.stdout
            assert words in changed.stdout
            assert f"at:      {ORDERS}:" in changed.stdout
            assert "Traceback" not in changed.stderr
    (copy / ORDERS).write_text(original.replace("async def place(", "async def put("), encoding="utf-8")
    gone = command(copy, "journal", "replay", "shop.app:app", *source, "--json", env=env)
    assert gone.returncode == 1
    assert {each["target"] for each in json.loads(gone.stdout)["mismatches"]} == {"orders/place"}
