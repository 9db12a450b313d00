"""`import durably as restate`: every public name of restate-sdk is here, with the signature that it has there."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from tests.authoring.peer_surface import MODULES, differences, public_names

_SENDS_ITSELF = "how requests are sent is the client's own business; `call`, `send` and `generic_call` stand for it"
_NO_TUNNEL = "there is no tunnel to Restate Cloud, so nothing describes an open one"
_INSIDE = "an optional import of that package's implementation, not something that users call"

DELIBERATE = {
    "client.Client.do_call": _SENDS_ITSELF,
    "client.Client.do_raw_call": _SENDS_ITSELF,
    "client.Client.post": _SENDS_ITSELF,
    "client.resolve_ingress": "reads a key of Restate Cloud whose format is not public; pass the URL",
    "connection.Connection": _NO_TUNNEL,
    "connection.TunnelInfo": _NO_TUNNEL,
    "serde.DaciteFromDict": _INSIDE,
    "serde.DaciteToDict": _INSIDE,
    "serde.MsgspecJsonAPI": _INSIDE,
    "serde.try_import_from_dacite": _INSIDE,
    "serde.try_import_msgspec_api": _INSIDE,
    "serde.try_import_pydantic_base_model": _INSIDE,
    "types.extract_core_type": "the peer's own reading of Optional; types are read by pydantic here",
}
"""Where a public name of the peer has no equal here, and why."""


def test_every_public_signature_fits() -> None:
    """A call that fits a public function, class or method of the peer fits ours, except where a reason is given."""
    found: dict[str, list[str]] = {}
    for name, problem in differences():
        found.setdefault(name, []).append(problem)
    unexplained = {name: problems for name, problems in found.items() if name not in DELIBERATE}

    assert unexplained == {}


def test_every_deliberate_difference_still_exists() -> None:
    """The list of differences holds nothing that has been cured since."""
    assert set() == DELIBERATE.keys() - {name for name, _ in differences()}


def test_the_comparison_sees_something() -> None:
    """The comparison is not empty because it looked in the wrong place."""
    restate = pytest.importorskip("restate")

    assert len(public_names(restate)) > 30
    assert len(MODULES) > 15


def test_dataclasses_have_the_same_fields() -> None:
    """The peer's dataclasses that users construct take the same fields in the same order."""
    import restate.context
    import restate.retry_policy
    import restate.types

    import durably.context
    import durably.retry_policy
    import durably.types

    pairs: list[tuple[Any, Any]] = [
        (restate.context.RunOptions, durably.context.RunOptions),
        (restate.context.Request, durably.context.Request),
        (restate.retry_policy.InvocationRetryPolicy, durably.retry_policy.InvocationRetryPolicy),
        (restate.types.HarnessEnvironment, durably.types.HarnessEnvironment),
    ]
    for theirs, ours in pairs:
        expected = [field.name for field in dataclasses.fields(theirs)]
        constructor = list(ours.__init__.__code__.co_varnames)[1 : len(expected) + 1]

        assert expected == constructor, ours


def test_modules_are_reachable_from_the_package_alone() -> None:
    """`import durably as restate; restate.serde.JsonSerde` works without importing the module."""
    script = (
        "import durably as restate\n"
        "for name in 'serde exceptions extensions asyncio logging context service object workflow handler endpoint "
        "retry_policy entry_codec types client_types context_managers client connection sync'.split():\n"
        "    getattr(restate, name)\n"
        "for name in restate.__all__:\n"
        "    getattr(restate, name)\n"
        "try:\n"
        "    restate.nothing\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "module 'durably' has no attribute 'nothing'\n"


def test_importing_loads_nothing_that_only_some_need() -> None:
    """`import durably` loads neither hosting, nor the client, nor pydantic's models, nor the test harness."""
    script = (
        "import sys, durably\n"
        "print([name for name in ('durably.hosting', 'durably.client', 'httpx', 'pydantic', 'durably.testing',"
        " 'msgspec', 'jwt', 'sqlite3') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
