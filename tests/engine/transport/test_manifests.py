"""Reading manifests: every field, and every way to be wrong."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from durably.engine.transport.contract import DiscoveryError, DiscoveryResult, HttpVersion
from durably.engine.transport.manifests import read_manifest
from durably.protocol.manifest import (
    HandlerType,
    InputDescriptor,
    ManifestVersion,
    OnMaxAttempts,
    OutputDescriptor,
    ProtocolMode,
    RetryPolicyManifest,
    ServiceType,
    render_manifest,
)

V4 = "application/vnd.restate.endpointmanifest.v4+json"
FULL: dict[str, Any] = {
    "protocolMode": "BIDI_STREAM",
    "minProtocolVersion": 5,
    "maxProtocolVersion": 7,
    "services": [
        {
            "name": "Orders",
            "ty": "WORKFLOW",
            "documentation": "Runs orders.",
            "metadata": {"team": "shop"},
            "inactivityTimeout": 1000,
            "abortTimeout": 2000,
            "journalRetention": 3000,
            "enableLazyState": True,
            "ingressPrivate": False,
            "retryPolicyInitialInterval": 10,
            "retryPolicyMaxInterval": 20,
            "retryPolicyMaxAttempts": 0,
            "retryPolicyExponentiationFactor": 2,
            "retryPolicyOnMaxAttempts": "KILL",
            "handlers": [
                {
                    "name": "run",
                    "ty": "WORKFLOW",
                    "workflowCompletionRetention": 9000,
                    "input": {"required": True, "contentType": "application/json", "jsonSchema": {"type": "string"}},
                    "output": {"contentType": "application/json", "setContentTypeIfEmpty": True},
                },
                {"name": "status", "ty": "SHARED", "idempotencyRetention": 5, "input": {}, "ingressPrivate": True},
                {"name": "plain"},
            ],
        }
    ],
}


def answered(content: Any, content_type: str = V4) -> DiscoveryResult:
    """Wrap a manifest as an answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return DiscoveryResult(body, content_type, HttpVersion.HTTP_2, None)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Copy the full manifest with one field, named as `services.0.name`, set; `...` removes it."""
    manifest = copy.deepcopy(FULL)
    *folders, name = path.split(".")
    place: Any = manifest
    for folder in folders:
        place = place[int(folder) if folder.isdigit() else folder]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return manifest


def test_every_option_is_read():
    """All fields arrive with their Python types."""
    manifest = read_manifest(answered(FULL))
    assert (manifest.protocol_mode, manifest.min_protocol_version) == (ProtocolMode.BIDI_STREAM, 5)
    (service,) = manifest.services
    assert (service.name, service.type, service.documentation) == ("Orders", ServiceType.WORKFLOW, "Runs orders.")
    assert service.metadata == {"team": "shop"}
    assert service.inactivity_timeout == timedelta(seconds=1)
    assert service.enable_lazy_state is True
    assert service.retry_policy == RetryPolicyManifest(
        initial_interval=timedelta(milliseconds=10),
        max_interval=timedelta(milliseconds=20),
        max_attempts=1,
        exponentiation_factor=2.0,
        on_max_attempts=OnMaxAttempts.KILL,
    )
    run, status, plain = service.handlers
    assert (run.type, run.workflow_completion_retention) == (HandlerType.WORKFLOW, timedelta(seconds=9))
    assert run.input == InputDescriptor(required=True, content_type="application/json", json_schema={"type": "string"})
    assert run.output == OutputDescriptor(content_type="application/json", set_content_type_if_empty=True)
    assert (status.input, status.output) == (InputDescriptor(), None)
    assert (plain.type, plain.retry_policy) == (None, None)


def test_what_is_written_here_is_read_here():
    """A manifest that the service side renders comes back as it was."""
    manifest = read_manifest(answered(FULL))
    assert read_manifest(answered(render_manifest(manifest, ManifestVersion.V4))) == manifest


@pytest.mark.parametrize(
    ("path", "value", "code", "text"),
    [
        ("protocolMode", ..., "META0013", "protocolMode"),
        ("protocolMode", "BOTH", "META0013", "BOTH"),
        ("minProtocolVersion", ..., "META0013", "minProtocolVersion"),
        ("minProtocolVersion", 8, "META0013", "not lower"),
        ("minProtocolVersion", 0, "META0013", "minProtocolVersion"),
        ("minProtocolVersion", True, "META0013", "minProtocolVersion"),
        ("services", ..., "META0013", "services"),
        ("services", {}, "META0013", "no array"),
        ("services", [1], "META0013", "no object"),
        ("surprise", 1, "META0013", "unknown field 'surprise'"),
        ("services.0.surprise", 1, "META0013", "unknown field 'surprise'"),
        ("services.0.handlers.0.surprise", 1, "META0013", "unknown field 'surprise'"),
        ("services.0.name", "1st", "META0013", "1st"),
        ("services.0.name", "a/b", "META0013", "a/b"),
        ("services.0.name", None, "META0013", "None"),
        ("services.0.name", "RestateOrders", "META0005", "reserved"),
        ("services.0.name", "openapi", "META0005", "reserved"),
        ("services.0.ty", ..., "META0013", "has no ty"),
        ("services.0.ty", "THING", "META0013", "THING"),
        ("services.0.handlers.0.name", "a-b", "META0013", "a-b"),
        ("services.0.handlers.1.name", "run", "META0013", "two handlers"),
        ("services.0.handlers.1.ty", "EXCLUSIVE", "META0013", "cannot have a handler of type 'EXCLUSIVE'"),
        ("services.0.handlers.0.idempotencyRetention", 1, "META0013", "idempotencyRetention"),
        ("services.0.handlers.1.workflowCompletionRetention", 1, "META0013", "workflowCompletionRetention"),
        ("services.0.inactivityTimeout", -1, "META0013", "inactivityTimeout"),
        ("services.0.inactivityTimeout", 1.5, "META0013", "inactivityTimeout"),
        ("services.0.inactivityTimeout", "1m", "META0013", "inactivityTimeout"),
        ("services.0.enableLazyState", "yes", "META0013", "no boolean"),
        ("services.0.documentation", 5, "META0013", "no string"),
        ("services.0.metadata", {"a": 1}, "META0013", "map of strings"),
        ("services.0.retryPolicyExponentiationFactor", 0, "META0013", "over 0"),
        ("services.0.retryPolicyOnMaxAttempts", "GIVE_UP", "META0013", "GIVE_UP"),
        ("services.0.handlers.0.input", {"contentType": "*/json"}, "META0013", "*/json"),
        ("services.0.handlers.0.input", {"contentType": "json"}, "META0013", "json"),
        ("services.0.handlers.0.input", [], "META0013", "no object"),
        ("services.0.handlers.0.output", {"contentType": "a\r\nb"}, "META0013", "contentType"),
        ("services.0.ingressPrivate", True, None, ""),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any, code: str | None, text: str):
    """Each failure has its code, the service it is about, and what is wrong."""
    manifest = changed(path, value)
    if code is None:
        assert read_manifest(answered(manifest)).services[0].ingress_private
        return
    with pytest.raises(DiscoveryError) as caught:
        read_manifest(answered(manifest))
    assert caught.value.code == code
    assert text in caught.value.message
    assert caught.value.hint


def test_a_public_handler_in_a_private_service_is_refused():
    """The server refuses it too: what would it mean?"""
    manifest = changed("services.0.ingressPrivate", True)
    manifest["services"][0]["handlers"][0]["ingressPrivate"] = False
    with pytest.raises(DiscoveryError, match="public in a private service"):
        read_manifest(answered(manifest))


@pytest.mark.parametrize("versions", [(1, 4), (8, 9)])
def test_no_common_version_is_told(versions: tuple[int, int]):
    """A deployment that is too old or too new is refused, with which side to upgrade."""
    manifest = {**FULL, "minProtocolVersion": versions[0], "maxProtocolVersion": versions[1]}
    with pytest.raises(
        DiscoveryError, match="SDK of the deployment" if versions[0] == 1 else "Upgrade durably"
    ) as caught:
        read_manifest(answered(manifest))
    assert caught.value.code == "META0012"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"services": NaN}', b"1" * 5000],
    ids=["nothing", "cut", "array", "null", "not UTF-8", "deep", "NaN", "long number"],
)
def test_what_is_no_manifest_is_refused(body: bytes):
    """Any bytes give the same kind of failure."""
    with pytest.raises(DiscoveryError) as caught:
        read_manifest(answered(body))
    assert caught.value.code == "META0013"


@pytest.mark.parametrize("content_type", ["", "application/json", f"{V4}; charset=utf-8", V4.replace("v4", "v5")])
def test_the_content_type_is_compared_exactly(content_type: str):
    """Only the four names that were asked for are read."""
    with pytest.raises(DiscoveryError, match="content-type") as caught:
        read_manifest(answered(FULL, content_type))
    assert caught.value.code == "META0013"


def test_very_long_durations_are_for_ever():
    """A number that no Python duration can hold is cut, not refused."""
    manifest = read_manifest(answered(changed("services.0.journalRetention", 2**62)))
    assert manifest.services[0].journal_retention == timedelta(milliseconds=10**15)


def test_a_service_name_is_unique():
    """Two services of one name are refused."""
    manifest = copy.deepcopy(FULL)
    manifest["services"] *= 2
    with pytest.raises(DiscoveryError, match="two services"):
        read_manifest(answered(manifest))
