"""The scenarios of the conformance suite, one module for each theme; importing this package registers them all."""

from __future__ import annotations

from tests.conformance.scenarios import (
    calls,
    cancellation,
    combinators,
    crashes,
    deployments,
    failures,
    ingress,
    nondeterminism,
    runs,
    scopes,
    signing,
    sleeping,
    state,
    workflows,
)

__all__ = [
    "calls",
    "cancellation",
    "combinators",
    "crashes",
    "deployments",
    "failures",
    "ingress",
    "nondeterminism",
    "runs",
    "scopes",
    "signing",
    "sleeping",
    "state",
    "workflows",
]
