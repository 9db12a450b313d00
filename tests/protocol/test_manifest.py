"""The manifest: its JSON in each version, what each version refuses, and negotiation."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from durably.errors import ConfigurationError, UnsupportedVersionError
from durably.protocol.manifest import (
    EndpointManifest,
    HandlerManifest,
    HandlerType,
    InputDescriptor,
    ManifestVersion,
    OnMaxAttempts,
    OutputDescriptor,
    ProtocolMode,
    RetryPolicyManifest,
    ServiceManifest,
    ServiceType,
    manifest_content_type,
    negotiate_manifest,
    render_manifest,
)

V2, V3, V4, V5 = ManifestVersion
JSON_INPUT = InputDescriptor(required=False, content_type="application/json", json_schema={"type": "string"})
RETRIES = RetryPolicyManifest(
    initial_interval=timedelta(milliseconds=250),
    max_interval=timedelta(minutes=1),
    max_attempts=5,
    exponentiation_factor=2.5,
    on_max_attempts=OnMaxAttempts.PAUSE,
)
RETRIES_JSON = {
    "retryPolicyInitialInterval": 250,
    "retryPolicyMaxInterval": 60_000,
    "retryPolicyMaxAttempts": 5,
    "retryPolicyExponentiationFactor": 2.5,
    "retryPolicyOnMaxAttempts": "PAUSE",
}
DAY_MS = 86_400_000

# What each version brought, as values for a service; a handler knows them all as well.
V3_OPTIONS: dict[str, tuple[Any, str, Any]] = {
    "inactivity_timeout": (timedelta(seconds=1.5), "inactivityTimeout", 1500),
    "abort_timeout": (timedelta(0), "abortTimeout", 0),
    "journal_retention": (timedelta(days=1), "journalRetention", DAY_MS),
    "idempotency_retention": (timedelta(days=2), "idempotencyRetention", 2 * DAY_MS),
    "enable_lazy_state": (False, "enableLazyState", False),
    "ingress_private": (True, "ingressPrivate", True),
}
V5_OPTIONS: dict[str, tuple[Any, str, Any]] = {
    "eager_state_keys": (("a", "b"), "eagerStateKeysWhitelist", ["a", "b"]),
}


def endpoint(*services: ServiceManifest) -> EndpointManifest:
    """Make an endpoint of the given services."""
    return EndpointManifest(
        protocol_mode=ProtocolMode.BIDI_STREAM, min_protocol_version=5, max_protocol_version=7, services=services
    )


def service(*handlers: HandlerManifest, **options: Any) -> ServiceManifest:
    """Make an object with the given handlers."""
    return ServiceManifest(name="Cart", type=ServiceType.VIRTUAL_OBJECT, handlers=handlers, **options)


def rendered(manifest: EndpointManifest, version: ManifestVersion) -> Any:
    """Render, and read the JSON back."""
    return json.loads(render_manifest(manifest, version))


@pytest.mark.parametrize("version", list(ManifestVersion))
def test_a_plain_endpoint_looks_the_same_in_every_version(version: ManifestVersion):
    """Without options nothing but the required fields, kinds and payloads is written."""
    manifest = EndpointManifest(
        protocol_mode=ProtocolMode.REQUEST_RESPONSE,
        min_protocol_version=5,
        max_protocol_version=7,
        services=(
            ServiceManifest(
                name="Greeter",
                type=ServiceType.SERVICE,
                documentation="Greets.",
                metadata={"team": "ä"},
                handlers=(
                    HandlerManifest(
                        name="greet",
                        input=JSON_INPUT,
                        output=OutputDescriptor(content_type="application/json", json_schema=True),
                        documentation="Says hello.",
                        metadata={},
                    ),
                    HandlerManifest(name="nothing", input=InputDescriptor(), output=OutputDescriptor()),
                ),
            ),
            ServiceManifest(
                name="Signup",
                type=ServiceType.WORKFLOW,
                handlers=(
                    HandlerManifest(name="run", type=HandlerType.WORKFLOW),
                    HandlerManifest(name="click", type=HandlerType.SHARED),
                ),
            ),
            service(HandlerManifest(name="add", type=HandlerType.EXCLUSIVE)),
            ServiceManifest(name="Empty", type=ServiceType.SERVICE, handlers=()),
        ),
    )
    assert rendered(manifest, version) == {
        "protocolMode": "REQUEST_RESPONSE",
        "minProtocolVersion": 5,
        "maxProtocolVersion": 7,
        "services": [
            {
                "name": "Greeter",
                "ty": "SERVICE",
                "documentation": "Greets.",
                "metadata": {"team": "ä"},
                "handlers": [
                    {
                        "name": "greet",
                        "input": {
                            "required": False,
                            "contentType": "application/json",
                            "jsonSchema": {"type": "string"},
                        },
                        "output": {
                            "contentType": "application/json",
                            "setContentTypeIfEmpty": False,
                            "jsonSchema": True,
                        },
                        "documentation": "Says hello.",
                        "metadata": {},
                    },
                    {"name": "nothing", "input": {}, "output": {"setContentTypeIfEmpty": False}},
                ],
            },
            {
                "name": "Signup",
                "ty": "WORKFLOW",
                "handlers": [{"name": "run", "ty": "WORKFLOW"}, {"name": "click", "ty": "SHARED"}],
            },
            {"name": "Cart", "ty": "VIRTUAL_OBJECT", "handlers": [{"name": "add", "ty": "EXCLUSIVE"}]},
            {"name": "Empty", "ty": "SERVICE", "handlers": []},
        ],
    }


@pytest.mark.parametrize(
    ("option", "since"),
    [*((option, V3) for option in V3_OPTIONS), *((option, V5) for option in V5_OPTIONS)],
)
@pytest.mark.parametrize("version", list(ManifestVersion))
@pytest.mark.parametrize("level", ["service", "handler"])
def test_an_option_is_written_since_its_version_and_refused_before(
    option: str, since: ManifestVersion, version: ManifestVersion, level: str
):
    """Each option, at both levels, is JSON from its version on and an error that names it before."""
    value, json_name, json_value = {**V3_OPTIONS, **V5_OPTIONS}[option]
    if level == "service":
        manifest = endpoint(service(**{option: value}))
    else:
        manifest = endpoint(service(HandlerManifest(name="add", **{option: value})))
    if version < since:
        where = "service 'Cart'" if level == "service" else "handler 'add' of service 'Cart'"
        message = f"Option `{option}` of {where} needs manifest version {int(since)}"
        with pytest.raises(ConfigurationError, match=message):
            render_manifest(manifest, version)
        return
    found = rendered(manifest, version)["services"][0]
    found = found if level == "service" else found["handlers"][0]
    assert {key: entry for key, entry in found.items() if key not in {"name", "ty", "handlers"}} == {
        json_name: json_value
    }


@pytest.mark.parametrize("version", list(ManifestVersion))
@pytest.mark.parametrize("option", list(RetryPolicyManifest.__slots__))
def test_each_part_of_a_retry_policy_needs_version_four(option: str, version: ManifestVersion):
    """A policy with one value is written as that value alone, and refused before v4."""
    policy = RetryPolicyManifest(**{option: getattr(RETRIES, option)})
    manifest = endpoint(service(HandlerManifest(name="add", retry_policy=policy), retry_policy=policy))
    if version < V4:
        with pytest.raises(ConfigurationError, match=f"`retry_policy.{option}` .*needs manifest version 4"):
            render_manifest(manifest, version)
        return
    (found,) = rendered(manifest, version)["services"]
    (handler,) = found["handlers"]
    written = {key: entry for key, entry in found.items() if key.startswith("retryPolicy")}
    assert len(written) == 1
    assert written.items() <= RETRIES_JSON.items()
    assert handler == {"name": "add", **written}


def test_a_whole_retry_policy():
    """All five values have their JSON names and units; an empty policy writes nothing."""
    (found,) = rendered(endpoint(service(retry_policy=RETRIES)), V4)["services"]
    assert found == {"name": "Cart", "ty": "VIRTUAL_OBJECT", "handlers": [], **RETRIES_JSON}
    assert rendered(endpoint(service(retry_policy=RetryPolicyManifest())), V2) == rendered(endpoint(service()), V2)


@pytest.mark.parametrize("version", list(ManifestVersion))
def test_workflow_retention_is_for_handlers_since_version_three(version: ManifestVersion):
    """A run's retention stands at its handler."""
    run = HandlerManifest(name="run", type=HandlerType.WORKFLOW, workflow_completion_retention=timedelta(days=1))
    manifest = endpoint(ServiceManifest(name="Signup", type=ServiceType.WORKFLOW, handlers=(run,)))
    if version < V3:
        with pytest.raises(ConfigurationError, match="workflow_completion_retention"):
            render_manifest(manifest, version)
    else:
        (found,) = rendered(manifest, version)["services"][0]["handlers"]
        assert found == {"name": "run", "ty": "WORKFLOW", "workflowCompletionRetention": DAY_MS}


@pytest.mark.parametrize("version", list(ManifestVersion))
def test_compression_is_left_out_before_version_four(version: ManifestVersion):
    """Doing without compression is correct, so it is dropped and not refused."""
    manifest = replace(endpoint(), lambda_compression="zstd")
    assert rendered(manifest, version).get("lambdaCompression") == ("zstd" if version >= V4 else None)


def test_durations_are_whole_milliseconds():
    """Parts of a millisecond are cut off, and long durations stay exact."""
    manifest = endpoint(
        service(
            inactivity_timeout=timedelta(microseconds=1999), journal_retention=timedelta(days=999_999_999, seconds=1)
        )
    )
    (found,) = rendered(manifest, V3)["services"]
    assert (found["inactivityTimeout"], found["journalRetention"]) == (1, 999_999_999 * DAY_MS + 1000)


def test_negative_durations_are_refused():
    """The error names the option and where it was given."""
    manifest = endpoint(service(HandlerManifest(name="add", abort_timeout=timedelta(seconds=-1))))
    with pytest.raises(ConfigurationError, match=r"`abort_timeout` of handler 'add' of service 'Cart'.*negative"):
        render_manifest(manifest, V4)


@pytest.mark.parametrize("schema", [object(), {"maximum": float("nan")}, {"default": {1, 2}}])
def test_what_is_not_json_is_a_configuration_error(schema: Any):
    """A schema that cannot be written stops discovery with an error of ours."""
    manifest = endpoint(service(HandlerManifest(name="add", input=InputDescriptor(json_schema=schema))))
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        render_manifest(manifest, V4)


def test_the_json_is_utf8_without_escapes():
    """Text is written as it is, and nothing is wasted on blanks."""
    assert render_manifest(endpoint(service(documentation="für alle")), V2) == (
        b'{"protocolMode":"BIDI_STREAM","minProtocolVersion":5,"maxProtocolVersion":7,"services":'
        b'[{"name":"Cart","ty":"VIRTUAL_OBJECT","handlers":[],"documentation":"f\xc3\xbcr alle"}]}'
    )


def content_types(*versions: int) -> str:
    """Write an `Accept` header as the runtime does."""
    return ", ".join(f"application/vnd.restate.endpointmanifest.v{version}+json" for version in versions)


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (None, V2),
        ("", V2),
        ("*/*", V2),
        ("text/html, */*;q=0.8", V2),
        (content_types(1, 2, 3, 4), V4),
        (content_types(4, 3, 2, 1), V4),
        (content_types(1, 2), V2),
        (content_types(3), V3),
        (content_types(2, 3, 4, 5, 6), V5),
        (content_types(3) + ", */*", V3),
        (content_types(3).upper(), V3),
        (content_types(3) + ";q=0.9", V3),
    ],
)
def test_the_highest_common_version_is_chosen(accept: str | None, version: ManifestVersion):
    """Order does not matter; without a wish the oldest version is given."""
    assert negotiate_manifest(accept) is version


@pytest.mark.parametrize(
    "accept", [content_types(1), content_types(6), content_types(42), "application/json", "x" * 5000, ","]
)
def test_no_common_version_is_an_error(accept: str):
    """The status is 415, and the error keeps what was offered without quoting all of it."""
    with pytest.raises(UnsupportedVersionError) as caught:
        negotiate_manifest(accept)
    assert (caught.value.code, caught.value.offered) == (415, accept)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("version", list(ManifestVersion))
def test_the_content_type_names_the_version(version: ManifestVersion):
    """The answer's content type is the one that was asked for."""
    assert manifest_content_type(version) == content_types(version)
    assert negotiate_manifest(manifest_content_type(version)) is version
