"""Types that the test harness hands out.

Owns `HarnessEnvironment`.
"""

from __future__ import annotations

from dataclasses import dataclass

from durably.client.interfaces import RestateClient

__all__ = ["HarnessEnvironment"]


@dataclass
class HarnessEnvironment:
    """Where the test's runtime is, and a client for it.

    Attributes:
        ingress_url: Base URL of the ingress.
        admin_api_url: Base URL of the admin API.
        client: Connected to the ingress.
    """

    ingress_url: str
    admin_api_url: str
    client: RestateClient
