"""The shop's `Durably`: the routers take their decorators from it, and the app is handed to it once it is built.

Everything that can be set is read from `DURABLY_*`: without any of it the handlers run on an engine in this process,
which keeps its journal in `durably.db`.
"""

from __future__ import annotations

from durably_fastapi import Durably

__all__ = ["durably"]

durably = Durably()
