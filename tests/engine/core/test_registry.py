"""Deployments, revisions, options and what is refused at registration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durably.engine.actions import Done, Failed, Registered, RegistryChanged
from durably.engine.core import is_public, lazy_state_of, options_of, retention_of, retry_policy_of, timeouts_of
from durably.engine.events import DeleteDeployment, PatchService, RegisterDeployment
from durably.engine.records import EngineOptions, OptionsRecord, ServiceRecord, Status, TargetKind
from durably.protocol.manifest import (
    HandlerManifest,
    HandlerType,
    OnMaxAttempts,
    RetryPolicyManifest,
    ServiceManifest,
    ServiceType,
)
from tests.engine.core.box import SERVICES, START_MS, Box, deployment


def service(
    name: str = "S", kind: ServiceType = ServiceType.SERVICE, *handlers: HandlerManifest, **options: object
) -> ServiceManifest:
    """A manifest."""
    return ServiceManifest(name=name, type=kind, handlers=handlers or (HandlerManifest(name="h"),), **options)


def register(box: Box, number: int, *services: ServiceManifest, lowest: int = 5, highest: int = 7, **how: bool):
    """Register; give the answer."""
    token = box.token()
    place = deployment(number, lowest=lowest, highest=highest)
    box.do(RegisterDeployment(place, services, reply=token, **how))
    return box.replies[token]


def latest(box: Box, name: str = "S") -> ServiceRecord:
    """The latest revision of a service."""
    found = box.read(lambda reader: reader.service(name))
    assert found is not None
    return found


def test_each_deployment_makes_a_revision():
    """The first is 1; another deployment's is the next and takes new invocations."""
    box = Box(())
    assert register(box, 2, service()) == Registered("dp_2", True, True, (("S", 1),))
    assert RegistryChanged() in box.actions
    assert register(box, 3, service()) == Registered("dp_3", True, True, (("S", 2),))
    assert latest(box).deployment_id == "dp_3"
    invocation_id = box.started("S/h")
    assert box.plans[invocation_id][0].deployment.id == "dp_3"


def test_known_address_is_left_alone():
    """Registering again changes nothing without force; with it services are replaced under the old id."""
    box = Box(())
    register(box, 2, service("A"), service("B"))
    assert register(box, 2, service("C")) == Registered("dp_2", False, False, (("A", 1), ("B", 1)))
    box.now += 5
    answer = register(box, 2, service("A"), service("C"), force=True)
    assert answer == Registered("dp_2", False, True, (("A", 1), ("C", 1)))
    assert box.read(lambda reader: [item.name for item in reader.services()]) == ["A", "C"]
    found = box.read(lambda reader: reader.deployment("dp_2"))
    assert found is not None
    assert found.created_at == START_MS


def test_dry_run_stores_nothing():
    """A dry run answers as the real one would, and leaves no trace."""
    box = Box(())
    assert register(box, 2, service(), dry_run=True) == Registered("dp_2", True, False, (("S", 1),))
    assert box.read(lambda reader: reader.service("S")) is None
    assert box.read(lambda reader: reader.deployment("dp_2")) is None


@pytest.mark.parametrize(
    ("manifest", "doc_code"),
    [
        (service("restateThing"), "META0005"),
        (service("OpenAPIx"), "META0005"),
        (service("S", ServiceType.SERVICE, HandlerManifest(name="h", type=HandlerType.EXCLUSIVE)), "META0013"),
        (service("S", ServiceType.VIRTUAL_OBJECT, HandlerManifest(name="h", type=HandlerType.WORKFLOW)), "META0013"),
        (service("S", ServiceType.WORKFLOW, HandlerManifest(name="h", type=HandlerType.EXCLUSIVE)), "META0013"),
        (
            service(
                "S", ServiceType.SERVICE, HandlerManifest(name="h", workflow_completion_retention=timedelta(seconds=1))
            ),
            "META0013",
        ),
        (
            service(
                "S",
                ServiceType.WORKFLOW,
                HandlerManifest(name="h", type=HandlerType.WORKFLOW, idempotency_retention=timedelta(seconds=1)),
            ),
            "META0013",
        ),
        (
            service("S", ServiceType.SERVICE, HandlerManifest(name="h", ingress_private=False), ingress_private=True),
            "META0013",
        ),
    ],
    ids=[
        "reserved",
        "reserved otherwise",
        "exclusive service",
        "run of an object",
        "exclusive workflow",
        "workflow retention",
        "idempotent run",
        "public in private",
    ],
)
def test_refused_manifests(manifest: ServiceManifest, doc_code: str):
    """What cannot work is refused with its code, and nothing of the deployment is stored."""
    box = Box(())
    refused = register(box, 2, service("Fine"), manifest)
    assert isinstance(refused, Failed)
    assert refused.doc_code == doc_code
    assert box.read(lambda reader: reader.service("Fine")) is None


def test_versions_must_meet():
    """A deployment whose versions all lie outside what the protocol has is refused (META0012)."""
    box = Box(())
    for lowest, highest in ((1, 4), (8, 9)):
        refused = register(box, 2, service(), lowest=lowest, highest=highest)
        assert isinstance(refused, Failed)
        assert refused.doc_code == "META0012"
    assert isinstance(register(box, 2, service(), lowest=5, highest=9), Registered)


def test_changing_the_kind_needs_breaking():
    """A service that becomes an object is refused, unless that is meant."""
    box = Box(())
    register(box, 2, service())
    refused = register(box, 3, service("S", ServiceType.VIRTUAL_OBJECT))
    assert isinstance(refused, Failed)
    assert (refused.code, refused.doc_code) == (409, "META0006")
    assert isinstance(register(box, 3, service("S", ServiceType.VIRTUAL_OBJECT), breaking=True), Registered)
    assert latest(box).handlers["h"].kind is TargetKind.EXCLUSIVE


def test_handlers_without_a_kind():
    """Without a kind an object's handler is exclusive and a workflow's shared."""
    box = Box(())
    register(box, 2, service("P"), service("O", ServiceType.VIRTUAL_OBJECT), service("W", ServiceType.WORKFLOW))
    kinds = [latest(box, name).handlers["h"].kind for name in "POW"]
    assert kinds == [TargetKind.SERVICE, TargetKind.EXCLUSIVE, TargetKind.WORKFLOW_SHARED]


def test_options_combine():
    """The handler's value wins over the service's, and that over the engine's."""
    second = timedelta(seconds=1)
    manifest = service(
        "S",
        ServiceType.SERVICE,
        HandlerManifest(
            name="h",
            abort_timeout=3 * second,
            idempotency_retention=10 * second,
            retry_policy=RetryPolicyManifest(max_attempts=0),
        ),
        inactivity_timeout=second,
        abort_timeout=2 * second,
        journal_retention=20 * second,
        enable_lazy_state=True,
        retry_policy=RetryPolicyManifest(max_attempts=9, on_max_attempts=OnMaxAttempts.KILL),
    )
    box = Box(())
    register(box, 2, manifest)
    record, options = latest(box), EngineOptions()
    own, shared = options_of(record, "h")
    assert timeouts_of(own, shared, options) == (1000, 3000)
    assert lazy_state_of(own, shared, options)
    policy = retry_policy_of(own, shared, options)
    assert (policy.max_attempts, policy.on_max_attempts, policy.factor) == (1, OnMaxAttempts.KILL, 2.0)
    assert retention_of(record, record.handlers["h"], options, idempotent=False) == (20_000, 20_000)
    assert retention_of(record, record.handlers["h"], options, idempotent=True) == (10_000, 10_000)
    invocation_id = box.started("S/h")
    plan = box.plans[invocation_id][0]
    assert (plan.inactivity_timeout_ms, plan.abort_timeout_ms) == (1000, 3000)


def test_patch_changes_options():
    """An operator's options hold for what comes; `public` overrides what the handlers said themselves."""
    box = Box(())
    private = HandlerManifest(name="h", ingress_private=True)
    register(box, 2, service("S", ServiceType.SERVICE, private))
    record = latest(box)
    assert not is_public(record, record.handlers["h"])
    token = box.token()
    box.do(PatchService("S", OptionsRecord(public=True, journal_retention_ms=0), token))
    assert box.replies[token] == Done()
    record = latest(box)
    assert is_public(record, record.handlers["h"])
    assert record.options.journal_retention_ms == 0
    assert record.revision == 1
    box.do(PatchService("Nobody", OptionsRecord(), token := box.token()))
    assert isinstance(box.replies[token], Failed)


def test_deleted_deployment():
    """What was pinned to it fails and is retried; new invocations go to what is left, or are refused."""
    box = Box()
    invocation_id = box.started()
    token = box.token()
    box.do(DeleteDeployment("dp_1", token))
    assert box.replies[token] == Done()
    box.fail(invocation_id)
    box.advance(1000)
    assert box.status(invocation_id) is Status.BACKING_OFF
    box.do(RegisterDeployment(deployment(2), SERVICES))
    box.advance(10_000)
    assert box.status(invocation_id) is Status.RUNNING
    box.do(DeleteDeployment("dp_1", token := box.token()))
    assert isinstance(box.replies[token], Failed)
