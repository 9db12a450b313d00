"""Web servers in the test's own event loop, and certificates for them."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypercorn.config import Config

from durably.testing.ports import free_port


@asynccontextmanager
async def hypercorn_server(
    app: Any, *, certificate: tuple[Path, Path] | None = None, **settings: Any
) -> AsyncIterator[str]:
    """Serve `app` with HTTP/2 and HTTP/1.1; gives the address."""
    config = Config()
    port = free_port()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 0.1
    config.shutdown_timeout = 0.1
    config.loglevel = "CRITICAL"
    if certificate is not None:
        config.certfile, config.keyfile = (str(path) for path in certificate)
    for name, value in settings.items():
        setattr(config, name, value)
    stopping = asyncio.Event()
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, mode="asgi", shutdown_trigger=stopping.wait))
    try:
        await listening(port)
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}"
    finally:
        stopping.set()
        await serving


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def uvicorn_server(app: Any, **settings: Any) -> AsyncIterator[str]:
    """Serve `app` with HTTP/1.1 only; gives the address."""
    port = free_port()
    config = uvicorn.Config(
        app, "127.0.0.1", port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, **settings
    )
    server = _Uvicorn(config)
    serving = asyncio.create_task(server.serve())
    try:
        await listening(port)
        scheme = "https" if settings.get("ssl_certfile") else "http"
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def listening(port: int) -> None:
    """Wait until something accepts connections."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "durably test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def trusting(certificate: Path) -> ssl.SSLContext:
    """Make a client's context that trusts only this certificate."""
    return ssl.create_default_context(cafile=str(certificate))
