"""Routes of durably: `path("restate/", include("durably_django.urls"))`.

Owns the paths; what stands behind them is `routes`. The path of the include is the setting `PREFIX`.
"""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path

from durably_django import routes

app_name = "durably"

urlpatterns: list[Any] = [
    path("health", routes.health, name="health"),
    path("results/<str:token>", routes.result, name="result"),
    path("discover", routes.serve_runtime, name="discover"),
    re_path(r"^invoke/.+", routes.serve_runtime, name="invoke"),
]
