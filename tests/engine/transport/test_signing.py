"""Requests that the engine signs: what is in a token, who accepts it, and which keys are refused."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import jwt
import pytest
import restate
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from h2.events import RequestReceived

import durably
from durably import Context, Engine, ObjectContext
from durably.engine.actions import Failed
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.transport.options import HttpOptions
from durably.engine.transport.signing import SigningKey
from durably.errors import ConfigurationError, MissingExtraError
from durably.protocol.identity import SCHEME_HEADER, TOKEN_HEADER, RequestIdentity
from tests.engine.transport.driver import HEADERS, http_transport
from tests.engine.transport.h2_peer import h2_peer
from tests.engine.transport.peers import hypercorn_server, uvicorn_server
from tests.protocol.signing import Signer

OURS, OTHERS = Signer("ours"), Signer("others")


def pem_of(key: Any) -> bytes:
    """Write a private key as openssl does."""
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def signing_key(signer: Signer = OURS) -> SigningKey:
    """Give the engine's side of a key pair."""
    return SigningKey(pem_of(signer.private))


def app_of(identity_keys: Sequence[str]) -> Any:
    """Make an endpoint of ours that wants signed requests."""
    greeter, cart = durably.Service("Greeter"), durably.VirtualObject("Cart")

    @greeter.handler()
    async def greet(ctx: Context, name: str) -> str:
        return f"hello {name}"

    @cart.handler()
    async def add(ctx: ObjectContext, item: str) -> str:
        return f"{ctx.key()}: {item}"

    return durably.app([greeter, cart], identity_keys=list(identity_keys))


def app_of_peer(identity_keys: Sequence[str]) -> Any:
    """Make the same endpoint with restate-sdk."""
    greeter, cart = restate.Service("Greeter"), restate.VirtualObject("Cart")

    @greeter.handler()
    async def greet(ctx: restate.Context, name: str) -> str:
        return f"hello {name}"

    @cart.handler()
    async def add(ctx: restate.ObjectContext, item: str) -> str:
        return f"{ctx.key()}: {item}"

    return restate.app([greeter, cart], identity_keys=list(identity_keys))


@pytest.mark.parametrize("use_http_11", [False, True], ids=["h2c", "HTTP/1.1"])
@pytest.mark.parametrize("app", [app_of, app_of_peer], ids=["durably", "restate-sdk"])
async def test_an_endpoint_with_our_key_accepts_us(app: Any, use_http_11: bool):
    """Discovery and calls pass the check of either SDK, below a path and for any key of an object."""
    serving = (uvicorn_server if use_http_11 else hypercorn_server)(app([OTHERS.key, OURS.key]))
    async with serving as uri, Engine("memory://", http=HttpOptions(identity=signing_key())) as engine:
        registered = await engine.register(Registration(uri=uri, use_http_11=use_http_11))
        assert isinstance(registered, RegisteredDeployment), registered
        client = engine.client()
        assert json.loads(await client.generic_call("Greeter", "greet", b'"you"')) == "hello you"
        assert json.loads(await client.generic_call("Cart", "add", b'"book"', key="ä /1%")) == "ä /1%: book"


@pytest.mark.parametrize("identity", [None, signing_key(OTHERS)], ids=["unsigned", "another key"])
@pytest.mark.parametrize("app", [app_of, app_of_peer], ids=["durably", "restate-sdk"])
async def test_an_endpoint_with_another_key_refuses_us(app: Any, identity: SigningKey | None):
    """Without a signature, or with one of another key, nothing is registered, and the text says what to do."""
    async with (
        hypercorn_server(app([OURS.key])) as uri,
        Engine("memory://", http=HttpOptions(identity=identity)) as engine,
    ):
        refused = await engine.register(Registration(uri=uri))
        assert isinstance(refused, Failed)
        assert "401" in refused.message
        assert "HttpOptions.identity" in refused.message


async def test_an_application_in_the_process_can_want_signatures():
    """An app that others reach too accepts the engine beside it by its key, and not without."""
    async with Engine("memory://", application=app_of([OURS.key]), http=HttpOptions(identity=signing_key())) as engine:
        assert await engine.client().generic_call("Cart", "add", b'"book"', key="1") == b'"1: book"'
    with pytest.raises(ConfigurationError, match=r"HttpOptions\.identity"):
        async with Engine("memory://", application=app_of([OURS.key])):
            pass


async def test_a_deployments_own_headers_are_no_signature():
    """Headers of a registration that claim to sign a request are replaced by the engine's."""
    async with (
        hypercorn_server(app_of([OURS.key])) as uri,
        Engine("memory://", http=HttpOptions(identity=signing_key())) as engine,
    ):
        headers = ((SCHEME_HEADER, "unsigned"), (TOKEN_HEADER, "x"))
        registered = await engine.register(Registration(uri=uri, additional_headers=headers))
        assert isinstance(registered, RegisteredDeployment), registered
        assert await engine.client().generic_call("Greeter", "greet", b'"you"') == b'"hello you"'


def test_a_token_says_what_the_protocol_asks():
    """Route, times and key of the object are in it, and the public key in its head; each is for one route only."""
    key = signing_key()
    headers = key.signed("/invoke/Cart/add", [*HEADERS, ("x-restate-service-key", "%C3%A4%20%2F1%25")])
    assert headers[: len(HEADERS)] == HEADERS
    assert headers[-2] == (SCHEME_HEADER, "v1")
    token = headers[-1][1]
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "EdDSA", "kid": OURS.key}
    claims = jwt.decode(token, OURS.private.public_key(), algorithms=["EdDSA"], audience="/invoke/Cart/add")
    assert abs(claims["iat"] - time.time()) < 10
    assert (claims["iat"] - claims["nbf"], claims["exp"] - claims["iat"]) == (60, 60)
    assert claims["sub"] == "ä /1%"
    RequestIdentity([OURS.key]).verify(headers, "/prefix/invoke/Cart/add", now=time.time())
    assert "sub" not in jwt.decode(
        key.signed("/discover", HEADERS)[-1][1], OURS.private.public_key(), algorithms=["EdDSA"], audience="/discover"
    )


async def test_without_an_identity_nothing_is_signed():
    """A request then has neither header, as a server without a key sends none."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        await transport.open("/invoke/S/h", HEADERS)
        request = await (await peer.connection()).event(RequestReceived)
        names = {str(name) for name, _ in request.headers or ()}
        assert not names & {SCHEME_HEADER, TOKEN_HEADER}


def test_a_key_file_is_read(tmp_path: Path):
    """A file of its owner gives the public key that endpoints are given; the private one is never shown."""
    file = tmp_path / "identity.pem"
    file.write_bytes(pem_of(OURS.private))
    file.chmod(0o600)
    key = SigningKey.read(file)
    assert key.public_key == OURS.key
    assert repr(key) == f"SigningKey({OURS.key!r})"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    """So is one that is not there; the message names the file and what helps."""
    file = tmp_path / "identity.pem"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SigningKey.read(file)
    file.write_bytes(pem_of(OURS.private))
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        SigningKey.read(file)


@pytest.mark.parametrize(
    "pem", [b"", b"secret", pem_of(ec.generate_private_key(ec.SECP256R1()))], ids=["empty", "text", "another kind"]
)
def test_what_is_no_ed25519_key_is_refused(pem: bytes):
    """Nothing of it is shown, and the message says how to make one."""
    with pytest.raises(ConfigurationError, match="openssl genpkey") as caught:
        SigningKey(pem)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("missing", ["jwt", "base58"])
def test_a_missing_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch):
    """Signing needs packages that a plain engine does not."""
    pem = pem_of(OURS.private)
    import_module(missing)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"durably\[identity\]"):
        SigningKey(pem)
