"""`Depends` in the handlers of services, also of those that never see an application.

Owns the binder that `authoring.signatures` asks for parameters beyond context and input, and the knowledge of which
application a handler belongs to, for its dependency overrides.
"""

from __future__ import annotations

from durably_fastapi.host import Host

__all__ = ["install_binder", "remember_host"]


def install_binder() -> None:
    """Let handlers that are registered from now on take `Depends`; done when `durably_fastapi` is imported."""
    raise NotImplementedError


def remember_host(host: Host) -> None:
    """Let handlers that `host.endpoint` serves find its application's overrides. The host is not kept alive."""
    raise NotImplementedError
