"""`durably call` and `durably send`: invoking a handler by name.

Owns how a target and a body are typed: `Service/handler` or `Object/key/handler`, with the body as JSON, from a file
(`@file`), or from standard input (`-`).
"""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from durably.cli.commands import JsonOption, runtime_command
from durably.cli.exits import CommandError, Exit, NotFoundError
from durably.cli.output import say, show_json, tell
from durably.client.requests import CallTarget, call_request, raw_content_type
from durably.errors import UsageError
from durably.operations.connections import Answer, Remote
from durably.operations.errors import OperationError

__all__ = ["add_commands"]

_Target = Annotated[str, typer.Argument(metavar="TARGET", help="Service/handler, or Object/key/handler.")]
_Body = Annotated[
    str | None, typer.Argument(metavar="[BODY]", help="JSON; @FILE reads a file, - standard input; without it, none.")
]
_Key = Annotated[str | None, typer.Option("--key", help="The key, if it has slashes: TARGET is Object/handler then.")]
_Idempotency = Annotated[str | None, typer.Option("--idempotency-key", help="Requests with the same one count once.")]
_Headers = Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE; repeatable.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    runtime_command(app, "call")(_call)
    runtime_command(app, "send")(_send)


async def _call(
    remote: Remote,
    target: _Target,
    body: _Body = None,
    key: _Key = None,
    idempotency_key: _Idempotency = None,
    header: _Headers = None,
) -> int:
    """Call a handler, wait for its result, and write that."""
    request = call_request(*await _request(target, body, key, idempotency_key, header))
    answer = await remote.ingress(request.method, request.path, request.content, list(request.headers.items()))
    if not answer.is_success:
        raise _failure(answer)
    if not answer.body:
        tell(f"Done, without a result: {answer.headers.get('x-restate-id', '')}")
        return Exit.OK
    if "json" in answer.headers.get("content-type", ""):
        show_json(answer.json())
    else:
        sys.stdout.buffer.write(answer.body)
        sys.stdout.flush()
    return Exit.OK


async def _send(
    remote: Remote,
    target: _Target,
    body: _Body = None,
    key: _Key = None,
    delay: Annotated[str | None, typer.Option("--delay", help="As 10s, 5m, 2h, 7d.")] = None,
    idempotency_key: _Idempotency = None,
    header: _Headers = None,
    json: JsonOption = False,
) -> int:
    """Hand an invocation over, without waiting for it; writes its id."""
    wait = None if delay is None else _delay(delay)
    parts = await _request(target, body, key, idempotency_key, header)
    request = call_request(*parts, send=True, delay=wait)
    answer = await remote.ingress(request.method, request.path, request.content, list(request.headers.items()))
    if not answer.is_success:
        raise _failure(answer)
    document = answer.json()
    is_new = document.get("status") != "PreviouslyAccepted"
    if json:
        show_json({"invocation_id": document["invocationId"], "is_new": is_new})
        return Exit.OK
    say(document["invocationId"])
    if not is_new:
        tell("It was accepted before, with the same idempotency key.")
    return Exit.OK


async def _request(
    target: str, body: str | None, key: str | None, idempotency_key: str | None, header: list[str] | None
) -> tuple[CallTarget, bytes, str | None, dict[str, str]]:
    content = await asyncio.to_thread(_content, body)
    headers: dict[str, str] = {}
    for each in header or ():
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"{each!r} is no header.", hint="Write it as 'name: value'.")
        headers[name.strip().lower()] = value.strip()
    parts = target.split("/")
    match parts:
        case [service, handler]:
            pass
        case [service, inner, handler] if key is None:
            key = inner
        case _:
            raise UsageError(
                f"{target!r} is no target.",
                hint="It is Service/handler or Object/key/handler; a key with slashes goes into --key.",
            )
    named = CallTarget(service=service, handler=handler, key=key, idempotency_key=idempotency_key)
    return named, content, raw_content_type(content), headers


def _content(body: str | None) -> bytes:
    if body is None:
        return b""
    if body == "-":
        return sys.stdin.buffer.read()
    if body.startswith("@"):
        try:
            return Path(body[1:]).read_bytes()
        except OSError as error:
            raise UsageError(f"{body[1:]} cannot be read: {error.strerror}.") from error
    try:
        json_module.loads(body)
    except ValueError as error:
        raise UsageError(f"The body is not JSON: {error}.", hint="A text needs quotes: '\"text\"'.") from error
    return body.encode()


def _delay(text: str) -> timedelta:
    from durably.engine.ingress.durations import parse_duration

    try:
        return timedelta(milliseconds=parse_duration(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is no duration: {error}.", hint="Write it as 10s, 5m, 2h or 7d.") from error


def _failure(answer: Answer) -> OperationError:
    invocation_id = answer.headers.get("x-restate-id")
    hint = f"Its journal: durably journal show {invocation_id}" if invocation_id else None
    kind = NotFoundError if answer.status == 404 and invocation_id is None else CommandError
    return kind(f"[{answer.status}] {answer.message}", hint=hint)
