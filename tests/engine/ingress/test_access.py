"""Who may use the HTTP APIs: token, peer, host, browsers."""

from __future__ import annotations

import pytest

from durably.engine.admin.app import AdminApp
from durably.engine.ingress.access import AccessOptions
from durably.engine.ingress.app import IngressApp, IngressOptions
from durably.errors import ConfigurationError
from tests.engine.ingress.asgi import JSON, request
from tests.engine.ingress.fake_api import FakeApi

TOKEN = "a-token-of-some-length"
REMOTE = ("203.0.113.9", 40000)


def ingress(**access: object) -> IngressApp:
    """An ingress with these access options."""
    return IngressApp(FakeApi(), IngressOptions(access=AccessOptions(**access)))


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("127.5.5.5", 1), ("::1", 1), ("::ffff:127.0.0.1", 1)])
async def test_this_machine_needs_no_token(client: tuple[str, int]) -> None:
    """Every spelling of loopback."""
    assert (await request(ingress(), "POST", "/Svc/any", client=client)).status == 200


@pytest.mark.parametrize("client", [REMOTE, ("10.0.0.1", 1), ("::ffff:10.0.0.1", 1), None, ("", 0), ("nonsense", 0)])
async def test_anyone_else_is_refused_without_a_token(client: tuple[str, int] | None) -> None:
    """A peer that is not known to be this machine is not; nothing reaches the engine."""
    app = ingress()
    reply = await request(app, "POST", "/Svc/any", client=client)
    assert (reply.status, reply.json()["source"]) == (401, "ingress")


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_what_a_proxy_forwards_is_from_elsewhere(name: str) -> None:
    """A proxy on this machine makes no request local."""
    assert (await request(ingress(), "POST", "/Svc/any", {name: "127.0.0.1"})).status == 401


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer  {TOKEN}", 200),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer ", 401),
        ("", 401),
        ("Bearer é", 401),
    ],
)
async def test_with_a_token_it_is_all_that_counts(authorization: str, status: int) -> None:
    """From anywhere, under any host name, and from this machine too; refusals are all the same."""
    app = ingress(token=TOKEN)
    headers = {"host": "engine.example", "authorization": authorization, "x-forwarded-for": "198.51.100.1"}
    for client in (REMOTE, ("127.0.0.1", 1)):
        reply = await request(app, "POST", "/Svc/any", headers, client=client)
        assert reply.status == status
        if status == 401:
            assert reply.json() == {"code": 401, "message": "unauthorized", "source": "ingress"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("LOCALHOST:8080", 200),
        ("app.localhost", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("[::1]", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8080", 403),
        ("10.0.0.1", 403),
    ],
)
async def test_other_host_names_are_refused(host: str, status: int) -> None:
    """A name of an attacker that resolves to 127.0.0.1 reaches nothing."""
    assert (await request(ingress(), "POST", "/Svc/any", {"host": host})).status == status


async def test_host_names_can_be_allowed() -> None:
    """By name, or all of them."""
    for allowed in ({"engine.example"}, {"*"}):
        app = ingress(allowed_hosts=frozenset(allowed))
        assert (await request(app, "POST", "/Svc/any", {"host": "engine.example:8080"})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://[", "content-type": "application/json"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_requests_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    """Forms, images and scripts of any other site, be it on this machine; no CORS header answers them."""
    app = ingress()
    for method in ("GET", "POST"):
        reply = await request(app, method, "/Svc/any", headers)
        assert reply.status == 403
        assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_a_preflight_is_not_answered() -> None:
    """So browsers do not send what they ask for."""
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    reply = await request(ingress(), "OPTIONS", "/Svc/any", headers)
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert (await request(ingress(), "OPTIONS", "/Svc/any")).status == 405


async def test_the_same_site_and_listed_sites_may_send() -> None:
    """The page that the engine's own host serves, and what an option names."""
    same = {"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}
    assert (await request(ingress(), "POST", "/Svc/any", same)).status == 200
    app = ingress(allowed_origins=frozenset({"https://app.example"}))
    listed = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    assert (await request(app, "POST", "/Svc/any", listed)).status == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=y"]
)
async def test_labels_of_forms_reach_only_handlers_that_name_them(content_type: str) -> None:
    """Old browsers send such bodies anywhere without asking, so taking anything is not taking them."""
    headers = {"content-type": content_type}
    assert (await request(ingress(), "POST", "/Svc/any", headers, b"x")).status == 415
    relaxed = IngressApp(FakeApi(), IngressOptions(accept_forms=True))
    assert (await request(relaxed, "POST", "/Svc/any", headers, b"x")).status == 200
    assert (await request(ingress(), "POST", "/Svc/text", {"content-type": "text/plain"}, b"x")).status == 200
    assert (await request(ingress(), "POST", "/Svc/any", JSON, b"x")).status == 200


async def test_all_checks_can_be_left_to_what_stands_in_front() -> None:
    """For an ingress that is mounted behind an application's own authentication."""
    app = ingress(open_to_all=True)
    headers = {"host": "evil.example", "origin": "https://evil.example"}
    assert (await request(app, "POST", "/Svc/any", headers, client=REMOTE)).status == 200


async def test_the_admin_api_has_the_same_checks() -> None:
    """Only its liveness is open, and tells nothing."""
    app = AdminApp(FakeApi(), AccessOptions(token=TOKEN))
    assert (await request(app, "GET", "/services", client=REMOTE)).status == 401
    reply = await request(app, "GET", "/health", client=REMOTE)
    assert (reply.status, reply.body) == (200, b"")
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert (await request(app, "GET", "/services", headers, client=REMOTE)).status == 200
    assert (await request(AdminApp(FakeApi()), "GET", "/services", {"host": "evil.example"})).status == 403
    assert (await request(AdminApp(FakeApi()), "GET", "/services", {"origin": "https://evil.example"})).status == 403


@pytest.mark.parametrize(
    "token", ["short", "with blanks in the middle", "línea-de-caracteres", "line\nbreak-0123456789"]
)
def test_tokens_that_can_be_guessed_or_never_match_are_refused(token: str) -> None:
    """When the engine is set up, not with the first request."""
    with pytest.raises(ConfigurationError):
        AccessOptions(token=token)


def test_a_token_is_not_shown() -> None:
    """Not by repr either."""
    assert TOKEN not in repr(IngressOptions(access=AccessOptions(token=TOKEN)))
