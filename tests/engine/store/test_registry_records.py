"""Deployments and services as text."""

from __future__ import annotations

import json

from durably.engine.records import OptionsRecord, ServiceRecord, ServiceType
from durably.engine.store.registry_records import deployment_of, service_of, text_of
from tests.engine.store.samples import deployment, service


def test_records_come_back():
    """Every field of a deployment and of a service survives, headers in order and options of every type."""
    assert deployment_of(text_of(deployment())) == deployment()
    assert service_of(text_of(service())) == service()


def test_an_empty_service_comes_back():
    """A service without options and handlers is the smallest record."""
    smallest = ServiceRecord("S", 1, "dp_1", ServiceType.SERVICE, OptionsRecord(), {})
    assert service_of(text_of(smallest)) == smallest
    assert json.loads(text_of(smallest))["options"] == {}


def test_what_a_newer_release_added_is_ignored():
    """A field that this release does not know does not keep the record from being read."""
    data = json.loads(text_of(service()))
    data["colour"] = "green"
    data["options"]["colour"] = "green"
    data["handlers"]["add"]["input"]["colour"] = "green"
    assert service_of(json.dumps(data)) == service()
