"""What adapters do when a tool imports their application, and when a server does."""

from __future__ import annotations

import pytest

from durably.web.looking import look_later, looking, start_on_import


def test_a_server_starts_with_the_import():
    """Without a tool, what starts with the import starts at once, and nothing is looked for."""
    done: list[str] = []
    start_on_import(lambda: done.append("started"))
    look_later(lambda: done.append("looked"))
    assert done == ["started"]


def test_a_tool_decides_what_starts():
    """While a tool looks, services are found at the end of the import, and starting is the tool's."""
    done: list[str] = []
    with looking() as looked:
        look_later(lambda: done.append("looked"))
        start_on_import(lambda: done.append("started"))
        assert done == []
    assert done == ["looked"]
    for start in looked.starts:
        start()
    assert done == ["looked", "started"]


def test_an_import_that_fails_leaves_nothing_behind():
    """After an error nothing of the looking is left: the next import starts as ever."""
    done: list[str] = []

    def import_it() -> None:
        with looking():
            look_later(lambda: done.append("looked"))
            raise RuntimeError("no such module")

    with pytest.raises(RuntimeError, match="no such module"):
        import_it()
    start_on_import(lambda: done.append("started"))
    assert done == ["started"]
