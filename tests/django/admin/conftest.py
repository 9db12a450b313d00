"""A project that runs, with the admin pages in its routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import override_settings
from django.test.utils import setup_test_environment, teardown_test_environment


@pytest.fixture
def site(quick_client: Any) -> Iterator[Any]:
    """Give a client of nobody in particular."""
    LogEntry.objects.all().delete()
    setup_test_environment()  # so that answers tell what was shown
    try:
        with override_settings(ROOT_URLCONF="tests.django.project.with_admin"):
            yield quick_client
    finally:
        teardown_test_environment()
