"""A hand-made endpoint that does the wire work of the benchmark's handlers and nothing else.

It shows how much of a measurement is the driver and the messages, which no implementation can save. It decodes and
encodes with `protobuf`, knows the handlers by name, checks nothing and can do nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bench import frames
from durably.protocol import messages

_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", frames.CONTENT_TYPE)],
}


async def floor_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer one invocation."""
    await send(_HEAD)
    pending: list[tuple[int, bytes]] = []
    data = (await receive())["body"]
    start = messages.Start()
    start.ParseFromString(frames.split_frames(data[: 8 + int.from_bytes(data[4:8], "big")])[0][1])
    decoder = _Frames(data)
    pending = decoder.take()
    while len(pending) < start.known_entries + 1:
        pending += decoder.feed((await receive())["body"])
    entered = messages.InputCommand()
    entered.ParseFromString(pending[1][1])
    count = int(entered.value.content)
    handler = scope["path"].rpartition("/")[2]
    if handler == "wait":
        await asyncio.get_running_loop().create_future()
    total = count if handler == "trivial" else await _run_steps(count, pending, decoder, receive, send)
    output = messages.OutputCommand()
    output.value.content = str(total).encode()
    closing = frames.frame(0x0401, output.SerializeToString()) + frames.frame(frames.END, b"")
    await send({"type": "http.response.body", "body": closing, "more_body": True})
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _run_steps(count: int, replayed: list[tuple[int, bytes]], decoder: _Frames, receive: Any, send: Any) -> int:
    total = 0
    position = 2
    for completion in range(1, count + 1):
        if position < len(replayed):
            run = messages.RunCommand()
            run.ParseFromString(replayed[position][1])
            stored = replayed[position + 1][1]
            position += 2
        else:
            run = messages.RunCommand(result_completion_id=completion, name="step")
            proposal = messages.ProposeRunCompletion(result_completion_id=completion, value=b"1")
            body = frames.frame(frames.RUN, run.SerializeToString())
            body += frames.frame(frames.PROPOSE, proposal.SerializeToString())
            await send({"type": "http.response.body", "body": body, "more_body": True})
            stored = decoder.feed((await receive())["body"])[0][1]
        notification = messages.Notification()
        notification.ParseFromString(stored)
        total += int(notification.value.content)
    return total


class _Frames:
    """Puts frames together again that were cut into pieces."""

    def __init__(self, data: bytes) -> None:
        self._buffer = data

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add bytes and give the frames that are complete."""
        self._buffer = self._buffer + data if self._buffer else data
        return self.take()

    def take(self) -> list[tuple[int, bytes]]:
        """Give the frames that are complete."""
        data, position = self._buffer, 0
        complete: list[tuple[int, bytes]] = []
        while len(data) - position >= 8:
            end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "big")
            if end > len(data):
                break
            complete.append((int.from_bytes(data[position : position + 2], "big"), data[position + 8 : end]))
            position = end
        self._buffer = data[position:]
        return complete
