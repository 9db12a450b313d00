"""Handlers as data: random programs that a machine plays, deterministic whatever happens to their attempts.

A program is a JSON list of steps and travels as the input of its invocation, so that calls carry the
programs of their callees. What a handler returns is the list of all it saw.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from typing import Any

from durably.machine import Combinator, Combined, Failure, Machine, Progress, Result
from durably.machine.waiting import AwaitTree

__all__ = ["Handler", "handle", "program", "random_target", "resume"]

Step = list[Any]

Handler = Generator[AwaitTree, None, None]
"""A running handler: yields what it awaits; ends when its output is written."""

KEYS = ("a", "b")
_FIRSTS = (Combinator.FIRST_COMPLETED, Combinator.FIRST_SUCCEEDED_OR_ALL_FAILED, Combinator.UNKNOWN)


def random_target(dice: random.Random) -> tuple[str, str, str]:
    """Service, key and handler of something to call."""
    service, handler = dice.choice(
        [("Greeter", "greet"), ("Counter", "add"), ("Counter", "get"), ("Flow", "run"), ("Flow", "poke")]
    )
    key = "" if service == "Greeter" else dice.choice(KEYS) + (str(dice.randrange(4)) if service == "Flow" else "")
    return service, key, handler


def program(dice: random.Random, target: tuple[str, str, str], depth: int = 0) -> list[Step]:
    """A random program for a handler.

    Exclusive handlers and runs are sent to, never called, so that nothing waits for itself.
    """
    service, _, handler = target
    steps: list[Step] = []
    kinds = ["run", "run", "run", "sleep", "sleep", "race", "all", "awakeable", "named", "self"]
    if depth < 2:
        kinds += ["call", "call", "send", "delayed"]
    if handler in ("add", "run"):
        kinds += ["set", "count", "count"]
    if service in ("Counter", "Flow"):
        kinds += ["get", "keys"]
    if service == "Flow":
        kinds += ["promise", "peek", "complete"]
    for _ in range(dice.randrange(1, 6)):
        kind = dice.choice(kinds)
        if kind in ("call", "send", "delayed"):
            callee = random_target(dice)
            while kind == "call" and callee[2] in ("add", "run"):
                callee = random_target(dice)
            key = f"i{dice.randrange(3)}" if dice.random() < 0.2 and callee[2] == "greet" else None
            # One idempotency key stands for one program, as it does for honest callers.
            inner = [["run", "same"]] if key else program(dice, callee, depth + 1)
            steps.append([kind, callee, inner, key, dice.randrange(1, 3000)])
        elif kind in ("race", "all"):
            children = [["run", "child"], ["sleep", dice.randrange(0, 2000)], ["sleep", dice.randrange(0, 2000)]]
            steps.append([kind, dice.choice(_FIRSTS).value, children])
        elif kind == "sleep":
            steps.append([kind, dice.randrange(0, 2000)])
        else:
            steps.append([kind, f"n{dice.randrange(3)}"])
    if dice.random() < 0.1:
        steps.append(["fail", "no"])
    return steps


def handle(machine: Machine, now_ms: int) -> Handler:
    """Play the program that is the machine's input. `now_ms` is the clock of the service."""
    call = machine.take_input()
    seen: list[Any] = []
    outcome: bytes | Failure | None = None
    for step in json.loads(call.body):
        if step[0] == "fail":
            outcome = Failure(418, step[1])
            break
        yield from _play(machine, step, seen, now_ms, call.debug_id)
    machine.sys_output(json.dumps(seen).encode() if outcome is None else outcome)
    machine.sys_end()


def _play(machine: Machine, step: Step, seen: list[Any], now_ms: int, own_id: str) -> Handler:
    match step:
        case ["run", name]:
            yield from _take(machine, machine.sys_run(name), seen)
        case ["sleep", ms]:
            yield from _take(machine, machine.sys_sleep(now_ms + ms), seen)
        case ["set", name]:
            machine.sys_set_state(name, name.encode())
        case ["get", name]:
            yield from _take(machine, machine.sys_get_state(name), seen)
        case ["keys", _]:
            yield from _take(machine, machine.sys_get_state_keys(), seen)
        case ["count", _]:
            yield from _count(machine, seen)
        case ["call", callee, inner, key, _]:
            name, object_key, handler = callee
            body = json.dumps(inner).encode()
            _, result = machine.sys_call(name, handler, body, key=object_key, idempotency_key=key)
            yield from _take(machine, result, seen)
        case ["send" | "delayed" as kind, callee, inner, key, ms]:
            name, object_key, handler = callee
            due = now_ms + ms if kind == "delayed" else 0
            body = json.dumps(inner).encode()
            machine.sys_send(name, handler, body, key=object_key, idempotency_key=key, invoke_time_ms=due)
        case ["race" | "all" as kind, combinator, children]:
            handles = [_begin(machine, child, now_ms) for child in children]
            chosen = Combinator(combinator) if kind == "race" else Combinator.ALL_COMPLETED
            yield Combined(chosen, (handles[0], Combined(Combinator.ALL_COMPLETED, tuple(handles[1:]))))
            seen.append([handle for handle in handles if machine.is_completed(handle)])
        case ["awakeable", _]:
            awakeable_id, handle = machine.sys_awakeable()
            machine.sys_complete_awakeable(awakeable_id, b"awake")
            yield from _take(machine, handle, seen)
        case ["named", name]:
            yield from _take(machine, machine.sys_signal(name), seen)
        case ["self", name]:
            machine.sys_send_signal(own_id, name, name.encode())
            yield from _take(machine, machine.sys_signal(name), seen)
        case ["promise", name]:
            machine.sys_complete_promise(name, b"p")
            yield from _take(machine, machine.sys_get_promise(name), seen)
        case ["peek", name]:
            yield from _take(machine, machine.sys_peek_promise(name), seen)
        case ["complete", name]:
            yield from _take(machine, machine.sys_complete_promise(name, b"p"), seen)
        case _:
            raise AssertionError(step)


def _begin(machine: Machine, step: Step, now_ms: int) -> int:
    return machine.sys_run(step[1]) if step[0] == "run" else machine.sys_sleep(now_ms + step[1])


def _count(machine: Machine, seen: list[Any]) -> Handler:
    handle = machine.sys_get_state("count")
    yield handle
    found = machine.take(handle)
    value = int(found) if isinstance(found, bytes) else 0
    machine.sys_set_state("count", str(value + 1).encode())
    seen.append(value)


def _take(machine: Machine, handle: int | str, seen: list[Any]) -> Handler:
    yield handle
    seen.append(_plain(machine.take(handle)))


def _plain(result: Result) -> object:
    if isinstance(result, bytes):
        return result.decode()
    return [result.code, result.message] if isinstance(result, Failure) else result


def resume(machine: Machine, handler: Handler, tree: AwaitTree | None) -> tuple[AwaitTree | None, Progress | None]:
    """Go on with a handler as far as it can.

    Returns:
        What it awaits and why it cannot go on; (None, None) when it ended.
    """
    while True:
        if tree is None:
            try:
                tree = next(handler)
            except StopIteration:
                return None, None
        match machine.progress(tree):
            case Progress.READY:
                tree = None
            case Progress.CANCELLED:
                machine.sys_output(Failure(409, "cancelled"))
                machine.sys_end()
                return None, None
            case stop:
                return tree, stop
