"""`durably journal replay` on each runtime: what it reads, keeps, chooses and reports."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import changed
from tests.cli.conftest import Place, Run, eventually

SAME = "tests.cli.shop:app"
CHANGED = "tests.cli.changed:app"


@pytest.fixture
def source(place: Place) -> str:
    """The runtime, as `--from` takes it."""
    return place.options[-1]


@pytest.fixture
def filled(on: Run, run: Run, source: str) -> str:
    """A runtime with a journal of each handler; one of them is not over."""
    on("call", "Orders/place", '"mug"')
    on("call", "Orders/refuse")
    on("call", "Orders/nothing")
    sent = on("send", "Orders/wait").out.strip()
    eventually(lambda: on("journal", "show", sent, "--json").json["entries"][1:])
    return source


def test_the_same_code_follows(run: Run, filled: str):
    """All journals are followed by the code that wrote them, and nothing is executed."""
    replayed = run("journal", "replay", SAME, "--from", filled, "--json")
    assert replayed.code == 0, replayed.out
    assert replayed.json["mismatches"] == []
    assert replayed.json["replayed"] >= 5


def test_every_change_is_reported(run: Run, filled: str):
    """A renamed step, a missing one, a handler that fails early and one that is gone: each with its line."""
    replayed = run("journal", "replay", CHANGED, "--from", filled, "--json")
    assert replayed.code == 1
    found = {each["target"]: each for each in replayed.json["mismatches"]}
    assert set(found) == {"Orders/place", "Orders/refuse", "Orders/wait", "Orders/nothing"}
    assert "'charge' in the journal, 'pay' now" in found["Orders/place"]["message"]
    assert "not now" in found["Orders/wait"]["message"]
    assert "not there any more" in found["Orders/nothing"]["message"]
    line = next(
        number for number, text in enumerate(inspect.getsource(changed).splitlines(), 1) if 'run_typed("pay"' in text
    )
    assert found["Orders/place"]["location"] == f"tests/cli/changed.py:{line} in place"
    text = run("journal", "replay", CHANGED, "--from", filled)
    assert "are not followed" in text.err
    assert f"at:      tests/cli/changed.py:{line} in place" in text.out


def test_what_is_chosen(run: Run, on: Run, filled: str):
    """By service, by id, by being under way, and by number."""
    carts = run("journal", "replay", CHANGED, "--from", filled, "--service", "Carts")
    assert carts.code == 0
    rows: list[dict[str, Any]] = on("invocations", "list", "--handler", "place", "--limit", "1", "--json").json
    one = run("journal", "replay", CHANGED, "--from", filled, "--id", rows[0]["id"], "--json")
    assert (one.code, one.json["replayed"]) == (1, 1)
    running = run("journal", "replay", CHANGED, "--from", filled, "--running", "--json")
    assert {each["target"] for each in running.json["mismatches"]} == {"Orders/wait"}
    assert run("journal", "replay", SAME, "--from", filled, "--limit", "1", "--json").json["replayed"] == 1


def test_saved_journals(run: Run, filled: str, tmp_path: Path):
    """They are kept in a file, or a folder of such files, and give the same report without the runtime."""
    path = tmp_path / "journals.json"
    first = run("journal", "replay", CHANGED, "--from", filled, "--save", str(path), "--json")
    for where in (path, tmp_path):
        again = run("journal", "replay", CHANGED, "--from", str(where), "--json")
        assert again.json == first.json
    running = run("journal", "replay", CHANGED, "--from", str(path), "--running", "--json")
    assert running.json["replayed"] >= 1
    single = tmp_path / "one.json"
    single.write_text(json.dumps(json.loads(path.read_text("utf-8"))["journals"][0]), encoding="utf-8")
    assert run("journal", "replay", CHANGED, "--from", str(single), "--json").json["replayed"] == 1


def test_what_is_no_journal(run: Run, tmp_path: Path):
    """A file without journals, one that is not there, and one that cannot be written are one message each."""
    (tmp_path / "wrong.json").write_text("{}", encoding="utf-8")
    assert run("journal", "replay", SAME, "--from", str(tmp_path / "wrong.json")).code == 2
    assert run("journal", "replay", SAME, "--from", str(tmp_path / "none.json")).code == 2
    assert run("journal", "replay", SAME, "--from", str(tmp_path / "none.db")).code == 3
    assert run("journal", "replay", "tests.cli.shop:orders").code in (0, 3)
    (tmp_path / "empty").mkdir()
    empty = run("journal", "replay", SAME, "--from", str(tmp_path / "empty"), "--save", str(tmp_path / "no" / "file"))
    assert empty.code == 1
    nothing = run("journal", "replay", SAME, "--from", str(tmp_path / "empty"))
    assert (nothing.code, nothing.out) == (0, "")
    assert "no journals" in nothing.err


def test_journals_of_other_services(run: Run, tmp_path: Path, filled: str):
    """Journals of services that the code does not have are counted, and not judged."""
    path = tmp_path / "journals.json"
    run("journal", "replay", SAME, "--from", filled, "--save", str(path))
    path.write_text(path.read_text("utf-8").replace('"service": "Carts"', '"service": "Elsewhere"'), encoding="utf-8")
    replayed = run("journal", "replay", SAME, "--from", str(path))
    assert replayed.code == 0
    assert "that tests.cli.shop:app does not have: Elsewhere" in replayed.err


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app", "durably ASGI app"),
        ("services", "durably services"),
        ("endpoint", "durably services"),
        ("orders", "durably services"),
        ("wsgi", "durably WSGI app"),
        ("make_app()", "durably ASGI app"),
    ],
)
def test_what_can_be_named(run: Run, name: str, kind: str):
    """Applications, endpoints, services, lists of them and factories can be named; the doctor says what each is."""
    findings = run("doctor", f"tests.cli.changed:{name}", "--json").json
    assert findings[0]["text"] == f"tests.cli.changed:{name}: a {kind}"
    assert findings[1]["verdict"] == "ok"
    shown = run("doctor", f"tests.cli.changed:{name}")
    assert shown.code == 0
    assert shown.out.splitlines()[-1].endswith("0 fail")


@pytest.mark.parametrize("name", ["nothing", "__doc__", "no_such_name"])
def test_what_cannot_be_named(run: Run, name: str):
    """What is no application is told as such."""
    [finding] = run("doctor", f"tests.cli.changed:{name}", "--json").json
    assert (finding["check"], finding["verdict"]) == ("application", "fail")
    assert run("journal", "replay", f"tests.cli.changed:{name}").code == 2
