"""System checks, by their ids."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.db import connections
from django.test import Client, override_settings
from django.urls import path

from durably.errors import UsageError
from durably.web.settings import read_settings
from durably_django.checks import _check_atomic_requests, _check_place, check_routes, check_settings
from durably_django.discovery import find_views
from tests.django.project.shop import views
from tests.django.project.shop.class_views import Methods

SERVER = {"URL": "http://127.0.0.1:8080"}


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"DURABLY": {"URL": "memory://"}, "DEBUG": True}, []),
        ({"DURABLY": {"URL": "memory://"}, "DEBUG": False}, ["durably.W005"]),
        ({"DURABLY": {"URL": "sqlite:///here.db"}, "DEBUG": False}, ["durably.W005"]),
        ({"DURABLY": {"URL": "sqlite:////var/lib/there.db"}, "DEBUG": False}, []),
        ({"DURABLY": {"URL": "sqlite:////var/lib/not/there.db"}, "DEBUG": False}, ["durably.W007"]),
        ({"DURABLY": {}}, ["durably.W001"]),
        ({"DURABLY": {"PREFIX": "/restate"}}, ["durably.W001"]),
        ({"DURABLY": {"URL": "memory://", "MAX_CONNECTIONS": 0}}, ["durably.E001"]),
        ({"DURABLY": {"url": "memory://", "max_connections": "4"}, "DEBUG": True}, []),
        ({"DURABLY": {"URI": "memory://"}}, ["durably.E001"]),
        ({"DURABLY": {"URL": "memory://", "OPTIONS": {"retries": 3}}}, ["durably.E001"]),
        ({"DURABLY": {"URL": "memory://", "HOSTING": 16}}, ["durably.E001"]),
        ({"DURABLY": {"URL": "memory://", "FAILURES": [KeyError]}}, ["durably.E001"]),
        ({"DURABLY": {"URL": "memory://", "FAILURES": {"builtins.KeyEror": 404}}}, ["durably.E001"]),
        ({"DURABLY": {"URL": "memory://", "FAILURES": {"builtins.KeyError": 404}}, "DEBUG": True}, []),
        ({"DURABLY": {"URL": "memory://", "JOURNAL_VALUE_CODEC": "no.such"}}, ["durably.E001"]),
        ({"DURABLY": "memory://"}, ["durably.E001"]),
        ({"DURABLY": SERVER, "DEBUG": True}, []),
        ({"DURABLY": SERVER, "DEBUG": False}, ["durably.W002"]),
        ({"DURABLY": SERVER | {"ALLOW_UNSIGNED": True}, "DEBUG": False}, []),
        (
            {"DURABLY": SERVER, "DEBUG": True, "MIDDLEWARE": ["django.middleware.gzip.GZipMiddleware"]},
            ["durably.W003"],
        ),
        (
            {
                "DURABLY": SERVER,
                "DEBUG": True,
                "MIDDLEWARE": [
                    "django.middleware.cache.UpdateCacheMiddleware",
                    "django.middleware.common.CommonMiddleware",
                    "compression_middleware.middleware.CompressionMiddleware",
                ],
            },
            ["durably.W003", "durably.W003"],
        ),
        (
            {
                "DURABLY": {"URL": "memory://"},
                "DEBUG": True,
                "MIDDLEWARE": ["django.middleware.gzip.GZipMiddleware"],
            },
            [],
        ),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], ids: list[str]):
    """Each setting that cannot work, or will surprise, is named."""
    with override_settings(**settings):
        found = check_settings()
        assert [each.id for each in found] == ids
        assert all(each.hint for each in found)


def test_a_file_on_a_network_file_system_is_an_error(tmp_path: Path):
    """The engine's file must not be shared by hosts; the nearest folder that exists is looked at."""
    nfs = 0x6969
    read = read_settings({"url": f"sqlite:///{tmp_path}/not/yet/there.db"}, {}, {})
    assert [each.id for each in _check_place(read, lambda _: nfs)] == ["durably.W007", "durably.E004"]
    asked: list[str] = []
    assert [each.id for each in _check_place(read, lambda place: asked.append(place))] == ["durably.W007"]
    assert asked == [str(tmp_path)]


async def awaiting(request: Any) -> None:
    """Is a view that Django cannot put into a transaction."""


def hidden(view: Any) -> Any:
    """Decorate, and say what is wrapped, but forget its attributes."""

    @functools.wraps(view, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return call


class Atomic:
    """A URL configuration with views that a transaction is, or is not, around."""

    urlpatterns: ClassVar[list[Any]] = [
        path("durable/", views.steps),
        path("durable-async/", views.steps_async),
        path("method/", Methods.as_view()),
        path("awaiting/", awaiting),
        path("hidden/", hidden(views.steps)),
    ]


def test_views_under_atomic_requests_are_checked(monkeypatch: pytest.MonkeyPatch):
    """Durable views are exempt, async ones too; one whose decorator hides that is an error."""
    with override_settings(ROOT_URLCONF=Atomic):
        assert _check_atomic_requests() == []
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
        find_views()
        found = _check_atomic_requests()
    assert [(each.id, "hidden/" in each.msg) for each in found] == [("durably.W006", False), ("durably.E005", True)]
    assert all(each.hint for each in found)


def test_a_call_inside_of_a_transaction_is_refused(quick_client: Client, monkeypatch: pytest.MonkeyPatch):
    """A decorator that hides all of the view leaves it in the transaction of the request: the call says so."""

    def decorated(request: Any, **values: Any) -> Any:
        return views.steps(request, **values)

    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    with (
        override_settings(ROOT_URLCONF=type("Routes", (), {"urlpatterns": [path("<str:order_id>/", decorated)]})),
        pytest.raises(UsageError, match="was called inside transaction"),
    ):
        Client().post("/in-a-block/")
    assert quick_client.post("/steps/in-no-block/").json() == {"count": 1}


def test_routes_are_checked():
    """A prefix that is not that of the include, and routes that are missing, are named."""
    assert check_routes() == []
    with override_settings(DURABLY={"URL": "memory://", "PREFIX": "/elsewhere"}):
        assert [each.id for each in check_routes()] == ["durably.E002"]
    with override_settings(ROOT_URLCONF="tests.django.project.no_routes"):
        assert [each.id for each in check_routes()] == ["durably.W004"]
    with override_settings(ROOT_URLCONF=None):
        assert check_routes() == []
