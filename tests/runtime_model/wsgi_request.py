"""One attempt over the WSGI interface of an app: a whole request, then a whole response."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from durably.protocol.framing import FrameDecoder
from durably.protocol.messages import MessageType
from durably.protocol.versions import content_type_of
from tests.runtime_model.runtime import Attempt, Runtime

__all__ = ["drive_wsgi"]


async def drive_wsgi(runtime: Runtime, attempt: Attempt, cut: int | None) -> None:
    """Make the request in a thread, as a worker does, and take what it wrote; `cut` forgets all after that entry."""
    body = await asyncio.to_thread(_request, runtime)
    for kind, _flags, payload in FrameDecoder().feed(body):
        if runtime.on_frame is not None:
            runtime.on_frame(kind)
        if not attempt.take(kind, payload) and kind != MessageType.AWAITING_ON:
            runtime.accept(kind, payload)
        if cut is not None and len(runtime.journal) >= cut:
            attempt.ending = "cut"
            return


def _request(runtime: Runtime) -> bytes:
    body = runtime.start_frames()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": runtime.path,
        "CONTENT_TYPE": content_type_of(runtime.version),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
    }
    started: list[str] = []
    answer = b"".join(runtime.app(environ, lambda status, headers: started.append(status)))
    assert started[0].startswith("200"), started
    return answer
