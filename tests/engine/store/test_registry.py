"""The registry in memory; what it finds is tested with the stores in test_contract_lookups."""

from __future__ import annotations

from durably.engine.store.registry import Registry
from tests.engine.store.samples import deployment, service


def test_a_copy_is_independent():
    """Changing a copy, as a transaction does, leaves the original as it was."""
    registry = Registry([deployment()], [service()])
    copy = registry.copy()
    copy.delete_deployment("dp_1")
    copy.put_service(service("Other"))
    assert (copy.deployments(), copy.service("Cart"), copy.service("Other")) == ([], None, service("Other"))
    assert (registry.deployments(), registry.services()) == ([deployment()], [service()])


def test_a_deployment_may_move():
    """A deployment that is put again under another uri is found there only."""
    registry = Registry([deployment()])
    registry.put_deployment(deployment(uri="http://two"))
    assert registry.deployment_at("http://one") is None
    assert registry.deployment_at("http://two") == deployment(uri="http://two")
