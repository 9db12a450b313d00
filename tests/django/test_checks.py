"""System checks, by their ids."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from durably_django.checks import check_routes, check_settings

SERVER = {"URL": "http://127.0.0.1:8080"}


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"DURABLY": {"URL": "memory://"}}, []),
        ({"DURABLY": {}}, ["durably.W001"]),
        ({"DURABLY": {"URI": "memory://"}}, ["durably.E001"]),
        ({"DURABLY": "memory://"}, ["durably.E001"]),
        ({"DURABLY": SERVER, "DEBUG": True}, []),
        ({"DURABLY": SERVER, "DEBUG": False}, ["durably.W002"]),
        ({"DURABLY": SERVER | {"ALLOW_UNSIGNED": True}, "DEBUG": False}, []),
        (
            {"DURABLY": SERVER, "DEBUG": True, "MIDDLEWARE": ["django.middleware.gzip.GZipMiddleware"]},
            ["durably.W003"],
        ),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], ids: list[str]):
    """Each setting that cannot work, or will surprise, is named."""
    with override_settings(**settings):
        assert [each.id for each in check_settings()] == ids


def test_routes_are_checked():
    """A prefix that is not that of the include, and routes that are missing, are named."""
    assert check_routes() == []
    with override_settings(DURABLY={"URL": "memory://", "PREFIX": "/elsewhere"}):
        assert [each.id for each in check_routes()] == ["durably.E002"]
    with override_settings(ROOT_URLCONF="tests.django.project.no_routes"):
        assert [each.id for each in check_routes()] == ["durably.W004"]
    with override_settings(ROOT_URLCONF=None):
        assert check_routes() == []
