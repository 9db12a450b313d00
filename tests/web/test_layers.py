"""What ASGI layers do alike: the path below a mount, and the lifespan."""

from __future__ import annotations

from typing import Any

import pytest

from durably.web.layers import path_below_mount, serve_lifespan

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [
        ("/restate/invoke/A/b", "", "/restate/invoke/A/b"),
        ("/shop/restate/health", "/shop", "/restate/health"),
        ("/shop", "/shop", ""),
        ("/shopping", "/shop", "/shopping"),
        ("/restate/health", "/shop", "/restate/health"),  # a proxy that has taken its prefix away
    ],
)
def test_the_mount_is_taken_away(path: str, root: str, below: str):
    """Only whole segments count; a path that is below already stays as it is."""
    assert path_below_mount({"path": path, "root_path": root}) == below


class Life:
    """A server, and the runtime that lives with it; keeps what happened."""

    def __init__(self, *, is_remote: bool = False) -> None:
        """Begin before the start."""
        self.happened: list[str] = []
        self._events = ["lifespan.startup", "lifespan.shutdown"]
        self._is_remote = is_remote

    async def receive(self) -> dict[str, Any]:
        """Give the next event."""
        return {"type": self._events.pop(0)}

    async def send(self, event: Any) -> None:
        """Keep what was told."""
        self.happened.append(" ".join(filter(None, (event["type"], event.get("message")))))

    def invoke_app(self) -> Any:
        """Give what a server calls."""
        return self if self._is_remote else None

    async def drain_attempts(self) -> None:
        """Keep that it was asked for."""
        self.happened.append("drain")

    def start(self) -> None:
        """Keep that it was asked for."""
        self.happened.append("start")

    def stop(self) -> None:
        """Keep that it was asked for."""
        self.happened.append("stop")


@pytest.mark.parametrize("is_remote", [True, False])
async def test_the_runtime_lives_as_long_as_the_server(is_remote: bool):
    """Attempts of a remote runtime end before the stop; the server is told after each."""
    life = Life(is_remote=is_remote)
    await serve_lifespan(life.receive, life.send, start=life.start, invoke_app=life.invoke_app, stop=life.stop)
    drained = ["drain"] if is_remote else []
    assert life.happened == ["start", "lifespan.startup.complete", *drained, "stop", "lifespan.shutdown.complete"]


async def test_a_start_that_fails_is_told():
    """The server hears why, and the error is raised for its log."""
    life = Life()

    def fail() -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        await serve_lifespan(life.receive, life.send, start=fail, invoke_app=life.invoke_app, stop=life.stop)
    assert life.happened == ["lifespan.startup.failed no disk"]
