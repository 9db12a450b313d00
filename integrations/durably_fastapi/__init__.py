"""Durably for FastAPI: existing endpoints become durable, dependencies included.

from durably_fastapi import Durably

app = FastAPI()
durably = Durably(app)
"""

from __future__ import annotations

from durably_fastapi.app import Durably
from durably_fastapi.binder import install_binder
from durably_fastapi.client import DurableClient, DurableSyncClient
from durably_fastapi.markers import Edge, PerAttempt, Step
from durably_fastapi.tasks import DurableBackgroundTasks

__all__ = [
    "DurableBackgroundTasks",
    "DurableClient",
    "DurableSyncClient",
    "Durably",
    "Edge",
    "PerAttempt",
    "Step",
]

install_binder()
