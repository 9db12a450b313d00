"""What no runtime takes as it is meant is refused, in words, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from durably.client.targets import CallTarget, check_headers, check_target
from durably.errors import UsageError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"service": ""}, "service is empty"),
        ({"handler": 3}, "handler must be text"),
        ({"scope": ""}, "scope is empty"),
        ({"limit_key": "l"}, "limit key needs a scope"),
        ({"scope": "s", "limit_key": "ü"}, "limit key 'ü' cannot stand".replace("ü", r"\\xfc")),
        ({"idempotency_key": "k" * 100 + "\n"}, "…'".replace("…", r"\\u2026")),
    ],
)
def test_targets(wrong: dict[str, Any], message: str) -> None:
    """Each part is named in the error; long and odd texts are cut and escaped."""
    with pytest.raises(UsageError, match=message):
        check_target(CallTarget(**{"service": "s", "handler": "h", **wrong}))


@pytest.mark.parametrize("name", ["", "a b", "a:", "ü", "a\n"])
def test_names_of_headers(name: str) -> None:
    """What is no token is no name."""
    with pytest.raises(UsageError, match="is no name of a header"):
        check_headers({name: "v"})


@pytest.mark.parametrize("value", ["", "a", "a b\tc", "é", '"x"'])
def test_values_of_headers(value: str) -> None:
    """Latin-1 text of one line may travel, and nothing too."""
    check_headers({"x-a": value})


@pytest.mark.parametrize("value", [3, None, b"x"])
def test_values_that_are_no_text(value: Any) -> None:
    """A value of another type is refused by its type."""
    with pytest.raises(UsageError, match="x-a must be text"):
        check_headers({"x-a": value})
