"""ProxyRequestSigning: a service that accepts only requests that its own server signed."""

from __future__ import annotations

from durably.testing.server import ServerFailedError
from tests.conformance.suite.clients import Admin, Ingress
from tests.conformance.suite.registry import Lane, scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []


def _new_key() -> tuple[bytes, str]:
    import base58
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return pem, f"publickeyv1_{base58.b58encode(public).decode()}"


@scenario("ProxyRequestSigning.requestSigningPass", lane=Lane.ALONE, seconds=60)
def request_signing_pass(stage: Stage) -> None:
    """Signed requests pass; a server that does not sign, or signs with another key, cannot even register."""
    pem, public_key = _new_key()
    pair = stage.another_pair(
        "signed",
        settings={"RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE": str(stage.pair.directory / "identity.pem")},
        environment={"E2E_REQUEST_SIGNING": public_key, "SERVICES": "Counter"},
    )
    (stage.pair.directory / "identity.pem").write_bytes(pem)
    pair.start()
    ingress, key = Ingress(pair.server.ingress_url, stage.deadline), stage.key()
    assert ingress.call("Counter", key, "add", argument=1) == {"oldValue": 0, "newValue": 1}
    assert ingress.call("Counter", key, "get") == 1
    try:
        stage.pair.server.register(pair.service.url, use_http_11=stage.column.host.uses_http_11)
    except ServerFailedError as refusal:
        assert "401" in str(refusal), refusal
    else:
        raise AssertionError("A server that does not sign its requests was accepted")
    assert Admin(pair.server.admin_url, stage.deadline).query("select count(*) as n from sys_service") == [{"n": 1}]
