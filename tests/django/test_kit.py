"""The test kit takes the project's runtime as it is: handlers run with Django's database, on an engine of the test."""

from __future__ import annotations

from durably.testing import blocking_test_harness
from durably.web.link import links
from durably_django.runtime import runtime


def test_services_run_in_a_harness(tables: None) -> None:
    """A handler that writes with the ORM runs, and its row is there."""
    from tests.django.project.shop.durable import record
    from tests.django.project.shop.models import Entry

    Entry.objects.all().delete()
    runtime.stop()
    with blocking_test_harness(runtime) as harness:
        harness.client.call(record, "from the kit")
        assert not any(each.is_started for each in links()), "the project's own engine runs, too"
    assert list(Entry.objects.values_list("text", flat=True)) == ["from the kit"]
