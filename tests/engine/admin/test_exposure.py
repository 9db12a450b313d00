"""What an engine shows to others: its sockets, and nothing of what is secret."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

import durably
from durably.engine.engine import Engine
from durably.engine.ingress.access import AccessOptions
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess
from tests.engine.ingress.asgi import JSON, post_json, request

SECRETS = {
    name: f"canary-{name}-9b2d"
    for name in ("bearer", "cookie", "payload", "state", "raised", "proxy", "deployment", "token", "query")
}
vault = durably.VirtualObject("Vault")


@vault.handler()
async def keep(ctx: durably.ObjectContext, secret: str) -> str:
    """Keep a secret, and say which headers arrived."""
    ctx.set("secret", SECRETS["state"])
    await ctx.run_typed("step", lambda: secret)
    return json.dumps(dict(ctx.request().headers))


@vault.handler()
async def drop(ctx: durably.ObjectContext, secret: str) -> None:
    """Fail for good, with no secret in the text."""
    raise durably.TerminalError("dropped") from RuntimeError(SECRETS["raised"])


def _listening(pid: int) -> set[tuple[str, int]]:
    """Give the addresses at which a process takes connections over TCP."""
    inodes: set[str] = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            inodes.add(match[1])
    found: set[tuple[str, int]] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def test_only_two_loopback_ports_are_open(tmp_path: Path) -> None:
    """The command listens for the ingress and the admin API on this machine, and nowhere else; files are private."""
    engine = EngineProcess(Column(Host.HYPERCORN, Handlers.ASYNC, Setting.DEFAULT, server=Server.ENGINE), tmp_path)
    engine.start()
    try:
        assert engine.pid is not None
        ports = {int(url.rpartition(":")[2]) for url in (engine.ingress_url, engine.admin_url)}
        assert _listening(engine.pid) == {("0100007F", port) for port in ports}
        for path in tmp_path.glob("engine.db*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    finally:
        engine.stop()


def test_an_engine_in_an_app_listens_nowhere(tmp_path: Path) -> None:
    """Its APIs are applications that the app serves, or does not."""
    before = _listening(os.getpid())
    with Engine(f"sqlite:///{tmp_path / 'engine.db'}", [vault]):
        assert _listening(os.getpid()) == before


def test_secrets_stay_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No log line, no refusal and no `repr` has a credential or a payload, at the most talkative level."""
    answers: list[bytes] = []
    headers = {
        **JSON,
        "authorization": f"Bearer {SECRETS['bearer']}",
        "cookie": f"session={SECRETS['cookie']}",
        "proxy-authorization": SECRETS["proxy"],
        "idempotency-key": "k",
    }

    async def play(engine: Engine) -> None:
        ingress, admin = engine.ingress_app, engine.admin_app

        async def ask(app: Any, method: str, target: str, body: object = None) -> bytes:
            raw = b"" if body is None else json.dumps(body).encode()
            reply = await request(app, method, target, headers, raw)
            answers.append(reply.body)
            return reply.body

        kept = await ask(ingress, "POST", "/Vault/a/keep", SECRETS["payload"])
        assert b"x-restate-ingress-path" in kept
        await ask(ingress, "POST", "/Vault/a/drop", SECRETS["payload"])
        await ask(ingress, "POST", "/Vault/a/keep", {"wrong": SECRETS["payload"]})
        await ask(ingress, "POST", "/Vault/a/nothing", SECRETS["payload"])
        await ask(ingress, "POST", f"/Vault/a/keep?delay={SECRETS['query']}", SECRETS["payload"])
        await ask(admin, "POST", "/query", {"query": "SELECT id, target, status, last_failure FROM sys_invocation"})
        await ask(admin, "POST", "/query", {"query": "SELECT record FROM main.deployments"})
        secret_headers = {"x-key": SECRETS["deployment"]}
        await ask(admin, "POST", "/deployments", {"uri": "http://127.0.0.1:9", "additional_headers": secret_headers})
        await ask(admin, "POST", "/services/Vault/state", {"object_key": "a", "new_state": SECRETS["state"]})
        for path in ("/deployments", "/services", "/services/Vault/openapi", "/version"):
            await ask(admin, "GET", path)
        answers.append(repr(engine).encode())
        answers.append(repr(AccessOptions(token=SECRETS["token"])).encode())

    with caplog.at_level("DEBUG"), Engine(f"sqlite:///{tmp_path / 'engine.db'}", [vault]) as engine:
        asyncio.run(play(engine))
    said = b"\n".join(answers).decode() + caplog.text
    assert {name for name, secret in SECRETS.items() if secret in said} == set()


def test_without_the_token_every_answer_is_the_same(tmp_path: Path) -> None:
    """Known or not, there or not: 401, one text, and nothing is done."""
    del tmp_path
    with Engine("memory://", [vault]) as engine:
        from durably.engine.admin.app import AdminApp

        closed = AdminApp(engine, AccessOptions(token=SECRETS["token"]))  # type: ignore[arg-type]

        async def play() -> set[tuple[int, bytes]]:
            found: set[tuple[int, bytes]] = set()
            for method, target in (
                ("GET", "/deployments"),
                ("GET", "/services/Vault"),
                ("GET", "/services/Nothing"),
                ("GET", "/nothing"),
                ("DELETE", "/invocations/inv_1"),
                ("PATCH", "/services/Vault"),
            ):
                reply = await request(closed, method, target)
                found.add((reply.status, reply.body))
            reply = await post_json(closed, "/query", {"query": "SELECT 1"})
            found.add((reply.status, reply.body))
            return found

        assert asyncio.run(play()) == {(401, b"unauthorized")}
