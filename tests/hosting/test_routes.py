"""The route table: paths, methods, identity, negotiation and the error answers."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from durably.errors import ConfigurationError
from durably.hosting import routes as routes_module
from durably.hosting.options import HostingOptions, Unsigned
from durably.hosting.request_log import RequestLog
from durably.hosting.routes import Answer, Invocation, Request, Routes, server_name
from durably.protocol.manifest import EndpointManifest, ProtocolMode
from durably.protocol.versions import ProtocolVersion
from tests.hosting.signing import Signer

NOW = 1_800_000_000.0
V6 = "application/vnd.restate.invocation.v6"
LOOPBACK = HostingOptions(unsigned=Unsigned.LOOPBACK_ONLY)


@dataclass
class FakeEndpoint:
    """An endpoint with one handler, reduced to what routing asks of it."""

    identity_keys: tuple[str, ...] = ()
    protocol_mode: ProtocolMode | None = None
    error: Exception | None = None
    handlers: dict[tuple[str, str], Any] = field(default_factory=lambda: {("Greeter", "greet"): "the handler"})

    def find(self, service: str, handler: str) -> Any:
        return self.handlers.get((service, handler))

    def manifest(self, mode: ProtocolMode) -> EndpointManifest:
        if self.error is not None:
            raise self.error
        return EndpointManifest(protocol_mode=mode, min_protocol_version=5, max_protocol_version=7, services=())


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch):
    """No test uses up another's share of log lines."""
    monkeypatch.setattr(routes_module, "request_log", RequestLog())


def route(
    method: str,
    path: str,
    *headers: tuple[str, str],
    endpoint: FakeEndpoint | None = None,
    options: HostingOptions | None = None,
    peer: str | None = "192.0.2.1",
    mode: ProtocolMode = ProtocolMode.BIDI_STREAM,
) -> Answer | Invocation:
    """Route one request on a fresh table."""
    table = Routes(cast("Any", endpoint or FakeEndpoint()), options or HostingOptions(), clock=lambda: NOW)
    return table.route(Request(method, path, list(headers), mode, peer))


def answer(*args: Any, **kwargs: Any) -> Answer:
    """Route one request that is answered at once."""
    found = route(*args, **kwargs)
    assert isinstance(found, Answer)
    return found


SIGNER = Signer(NOW)
SIGNED = FakeEndpoint(identity_keys=(SIGNER.key,))


@pytest.mark.parametrize("prefix", ["", "/restate", "/a/b/c", "/invoke/x", "/invoke"])
def test_an_endpoint_lives_under_any_prefix(prefix: str):
    """Routes are recognised by the end of the path, whatever stands before."""
    assert answer("GET", f"{prefix}/health").status == 200
    assert answer("GET", f"{prefix}/discover").status == 200
    assert isinstance(route("POST", f"{prefix}/invoke/Greeter/greet", ("content-type", V6)), Invocation)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "discover",
        "/discover/",
        "/Discover",
        "/discovery",
        "/discover;x",
        "/invoke",
        "/invoke/",
        "/invoke/Greeter",
        "/invoke/Greeter/",
        "/invoke//greet",
        "/invoke/Greeter/greet/",
        "/invoke/a/b/c",
        "/INVOKE/Greeter/greet",
        "/invoke/x/y/../../admin",
    ],
)
def test_other_paths_are_not_found(path: str):
    """Nothing is normalised, guessed or stripped."""
    assert answer("POST", path, ("content-type", V6)).status == 404
    assert answer("GET", path).status == 404


@pytest.mark.parametrize(
    "name", ["greet%20", "%67reet", "__class__", "greet\x00", "greet\n", "\uff47reet", "Greet", "..", "."]
)
def test_names_are_looked_up_exactly(name: str):
    """A path is decoded once, by the server; what is left of an escape, or merely looks alike, is another name."""
    assert answer("POST", f"/invoke/Greeter/{name}", ("content-type", V6)).status == 404
    assert answer("POST", f"/invoke/{name}/greet", ("content-type", V6)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/discover", "GET"),
        ("HEAD", "/discover", "GET"),
        ("GET", "/invoke/Greeter/greet", "POST"),
        ("PUT", "/invoke/Greeter/greet", "POST"),
        ("OPTIONS", "/invoke/Greeter/greet", "POST"),
        ("POST", "/health", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_is_right(method: str, path: str, allowed: str):
    """A route of ours asked in the wrong way is not `not found`."""
    found = answer(method, path)
    assert found.status == 405
    assert ("allow", allowed) in found.headers


@pytest.mark.parametrize("name", ["discover", "health"])
def test_a_handler_may_be_called_like_a_route(name: str):
    """`POST /invoke/Greeter/health` is that handler, not the health check."""
    endpoint = FakeEndpoint(handlers={("Greeter", name): "the handler"})
    found = route("POST", f"/invoke/Greeter/{name}", ("content-type", V6), endpoint=endpoint)
    assert isinstance(found, Invocation)


def test_health_names_nothing_and_needs_no_signature():
    """A load balancer can ask, and learns no service name."""
    found = answer("GET", "/health", endpoint=SIGNED, options=LOOPBACK)
    assert json.loads(found.body) == {"status": "ok"}
    assert ("content-type", "application/json") in found.headers


@pytest.mark.parametrize("mode", list(ProtocolMode))
def test_discovery_tells_the_mode_of_the_server(mode: ProtocolMode):
    """What the server can do is what the runtime learns."""
    assert json.loads(answer("GET", "/discover", mode=mode).body)["protocolMode"] == mode.value


def test_a_configured_mode_wins_in_discovery():
    """The endpoint's own setting stands over the option, and both over what the server shows."""
    rr = ProtocolMode.REQUEST_RESPONSE
    assert json.loads(answer("GET", "/discover", options=HostingOptions(mode=rr)).body)["protocolMode"] == rr.value
    endpoint = FakeEndpoint(protocol_mode=rr)
    options = HostingOptions(mode=ProtocolMode.BIDI_STREAM)
    assert json.loads(answer("GET", "/discover", endpoint=endpoint, options=options).body)["protocolMode"] == rr.value


def manifest(version: int) -> str:
    """Give the content type of a manifest version."""
    return f"application/vnd.restate.endpointmanifest.v{version}+json"


@pytest.mark.parametrize(
    ("accept", "version"),
    [(None, 2), (manifest(3), 3), (", ".join(manifest(version) for version in (1, 2, 3, 4)), 4)],
)
def test_discovery_negotiates_and_answers_the_exact_content_type(accept: str | None, version: int):
    """The highest common version, named byte for byte; version 2 when the request names none."""
    headers = [] if accept is None else [("accept", accept)]
    found = answer("GET", "/discover", *headers)
    assert found.status == 200
    assert dict(found.headers)["content-type"] == manifest(version)


def test_accept_headers_that_come_twice_are_one_list():
    """A proxy may split the list over two headers."""
    found = answer("GET", "/discover", ("accept", manifest(3)), ("accept", manifest(4)))
    assert dict(found.headers)["content-type"] == manifest(4)


def test_no_common_manifest_version_is_415():
    """A runtime from another age is refused with the right status."""
    assert answer("GET", "/discover", ("accept", manifest(1))).status == 415


def test_a_manifest_that_cannot_be_written_is_500_and_says_why():
    """The developer who registers the deployment sees the option's name in the runtime's answer."""
    endpoint = FakeEndpoint(error=ConfigurationError("`lazy_state` of service `Greeter` needs manifest v3."))
    found = answer("GET", "/discover", endpoint=endpoint)
    assert found.status == 500
    assert b"lazy_state" in found.body


@pytest.mark.parametrize("version", list(ProtocolVersion))
def test_an_invocation_carries_its_version_and_headers(version: ProtocolVersion):
    """The content type chooses the version; the headers go to the handler."""
    content_type = f"application/vnd.restate.invocation.v{version.value}"
    found = route("POST", "/invoke/Greeter/greet", ("content-type", content_type), ("traceparent", "00-x"))
    assert isinstance(found, Invocation)
    assert found.version is version
    assert found.headers["traceparent"] == "00-x"
    assert routes_module.response_head(version) == (("content-type", content_type), ("x-restate-server", server_name()))


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", V6 + "; charset=utf-8", V6.upper(), V6[:-1] + "4", V6[:-1] + "8", V6 + "1"],
)
def test_another_content_type_is_415(content_type: str | None):
    """Content types are compared exactly."""
    headers = [] if content_type is None else [("content-type", content_type)]
    assert answer("POST", "/invoke/Greeter/greet", *headers).status == 415


def test_every_answer_names_the_server():
    """`x-restate-server` is on errors as well, because runtimes show it for failed attempts."""
    for found in (answer("GET", "/health"), answer("GET", "/nowhere"), answer("GET", "/discover")):
        assert ("x-restate-server", server_name()) in found.headers
    assert server_name().startswith("durably/")


def test_a_signed_request_is_accepted():
    """Both routes accept a token made for them, under a prefix too, because the prefix is not signed."""
    invoke = "/invoke/Greeter/greet"
    assert isinstance(
        route("POST", f"/p{invoke}", ("content-type", V6), *SIGNER.headers(invoke), endpoint=SIGNED), Invocation
    )
    assert answer("GET", "/p/discover", *SIGNER.headers("/discover"), endpoint=SIGNED).status == 200


def other_scheme(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Claim a scheme that does not exist."""
    return [("x-restate-signature-scheme", "unsigned"), headers[1]]


UNSIGNED_TOKEN = (
    b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (
            {"alg": "none", "typ": "JWT"},
            {"aud": "/invoke/Greeter/greet", "iat": NOW, "nbf": NOW, "exp": NOW + 60},
        )
    ).decode()
    + "."
)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        SIGNER.headers("/invoke/Greeter/greet", at=NOW - 121),
        SIGNER.headers("/invoke/Greeter/greet", at=NOW + 121),
        SIGNER.headers("/invoke/Greeter/other"),
        SIGNER.headers("/discover"),
        Signer(NOW).headers("/invoke/Greeter/greet"),
        SIGNER.headers("/invoke/Greeter/greet") * 2,
        other_scheme(SIGNER.headers("/invoke/Greeter/greet")),
        [("x-restate-signature-scheme", "v1"), ("x-restate-jwt-v1", UNSIGNED_TOKEN)],
    ],
    ids=["unsigned", "stale", "future", "handler", "discover", "key", "doubled", "scheme", "alg-none"],
)
def test_a_request_that_is_not_signed_right_is_401(headers: list[tuple[str, str]]):
    """Unsigned, stale, or signed for something else or by someone else: refused without a reason."""
    found = answer("POST", "/invoke/Greeter/greet", ("content-type", V6), *headers, endpoint=SIGNED)
    assert found.status == 401
    assert json.loads(found.body) == {"message": "unauthorized"}


def test_a_bad_token_learns_no_names():
    """An unknown handler and a known one answer a stranger alike; so does a wrong content type."""
    answers = [
        answer("POST", path, ("content-type", content_type), endpoint=SIGNED)
        for path in ("/invoke/Greeter/greet", "/invoke/No/such")
        for content_type in (V6, "text/plain")
    ]
    assert all(found == answers[0] for found in answers)


def test_keys_rotate_without_a_restart():
    """An endpoint whose keys were replaced accepts the new one and refuses the old one from then on."""
    endpoint = FakeEndpoint(identity_keys=(SIGNER.key,))
    table = Routes(cast("Any", endpoint), clock=lambda: NOW)
    new = Signer(NOW)
    endpoint.identity_keys = (new.key,)

    def ask(signer: Signer) -> int:
        headers = signer.headers("/discover")
        found = table.route(Request("GET", "/discover", headers, ProtocolMode.BIDI_STREAM))
        assert isinstance(found, Answer)
        return found.status

    assert (ask(SIGNER), ask(new)) == (401, 200)


def test_an_open_endpoint_says_so_once(caplog: pytest.LogCaptureFixture):
    """Without keys requests are accepted, and the log says what that means, a single time."""
    caplog.set_level(logging.WARNING)
    table = Routes(cast("Any", FakeEndpoint()))
    for _ in range(3):
        found = table.route(Request("GET", "/discover", [], ProtocolMode.BIDI_STREAM))
        assert isinstance(found, Answer)
        assert found.status == 200
    assert caplog.text.count("identity_keys") == 1


def test_an_endpoint_opened_on_purpose_is_silent(caplog: pytest.LogCaptureFixture):
    """`Unsigned.ACCEPT` is a decision; it is not questioned."""
    assert answer("GET", "/discover", options=HostingOptions(unsigned=Unsigned.ACCEPT)).status == 200
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.9.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.1", 401),
        ("10.0.0.1", 401),
        ("0.0.0.0", 401),
        ("::ffff:192.0.2.1", 401),
        ("localhost", 401),
        ("", 401),
        (None, 401),
    ],
)
def test_loopback_only_accepts_this_machine(peer: str | None, status: int):
    """Without keys a strict endpoint serves local peers; an unknown peer counts as foreign."""
    assert answer("GET", "/discover", options=LOOPBACK, peer=peer).status == status


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_a_forwarded_request_is_not_local(name: str):
    """Behind a proxy on the same machine every peer is 127.0.0.1; the header gives it away."""
    assert answer("GET", "/discover", (name, "127.0.0.1"), options=LOOPBACK, peer="127.0.0.1").status == 401


def test_the_log_names_the_setting(caplog: pytest.LogCaptureFixture):
    """The caller learns nothing; the operator learns what to set."""
    answer("GET", "/discover", options=LOOPBACK, peer="192.0.2.1")
    assert "allow_unsigned" in caplog.text
    assert "identity_keys" in caplog.text


def test_secrets_in_headers_are_not_logged(caplog: pytest.LogCaptureFixture):
    """A refused request's headers never reach the log, not even the token that was wrong."""
    token = SIGNER.headers("/discover")[1][1]
    answer("GET", "/discover", ("x-restate-jwt-v1", token), ("authorization", "canary"), endpoint=SIGNED)
    assert "canary" not in caplog.text
    assert token not in caplog.text
