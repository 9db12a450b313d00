"""Public test tools: today the runner of a real `restate-server` binary, in `durably.testing.server`."""

from __future__ import annotations

__all__: list[str] = []
