"""How commands end: exit codes, messages, what is needed to be installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from durably.cli.exits import CommandError, Exit, NotFoundError, NotReachableError, code_of, text_of
from durably.errors import (
    ConfigurationError,
    EngineStoppedError,
    MissingExtraError,
    StoreBusyError,
    UsageError,
)
from durably.operations.connections import choose
from durably.testing.ports import free_port
from tests.cli.conftest import Run, running_engine
from tests.cli.processes import environment


def without(names: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program where packages are not installed."""
    code = f"import sys; sys.modules.update(dict.fromkeys({names!r}));"
    code += f"from durably.__main__ import main; sys.exit(main({list(arguments)!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)


def test_the_engine_needs_no_typer():
    """`durably engine` works without the extra; the other commands say what to install."""
    assert without(("typer", "rich"), "engine", "--help").returncode == 0
    other = without(("typer", "rich"), "services")
    assert other.returncode == 2
    assert "durably[cli]" in other.stderr
    assert "Traceback" not in other.stderr


def test_the_engine_is_one_command_of_many(run: Run):
    """The typer program hands `engine` over with all its options, and its exit code."""
    assert run("--help").code == 0
    shown = run("engine", "--help")
    assert shown.code == 0
    assert "--request-identity-private-key-pem-file" in shown.out
    assert run("engine", "--no-such-option").code == 2


def test_both_names_are_one_program():
    """The console script and `python -m durably` are the same."""
    script = shutil.which("durably", path=str(Path(sys.executable).parent))
    assert script is not None
    for command in ([script], [sys.executable, "-m", "durably"]):
        shown = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        assert (shown.returncode, shown.stdout.split()[0]) == (0, "durably")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("x"), Exit.FAILED),
        (NotFoundError("x"), Exit.NOT_FOUND),
        (NotReachableError("x"), Exit.NOT_REACHABLE),
        (UsageError("x"), Exit.USAGE),
        (MissingExtraError("x", "cli"), Exit.USAGE),
        (EngineStoppedError("x"), Exit.NOT_REACHABLE),
        (StoreBusyError("x"), Exit.NOT_REACHABLE),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ZeroDivisionError(), Exit.FAILED),
    ],
)
def test_exit_codes(error: BaseException, code: Exit):
    """Each kind of error has the exit code that is documented."""
    assert code_of(error) is code


def test_the_hint_stands_below():
    """What happened comes first, what to do about it on the next line."""
    assert text_of(UsageError("No.", hint="Try this.")) == "No.\nTry this."
    assert text_of(ZeroDivisionError()) == "ZeroDivisionError"


def test_unexpected_errors(run: Run, monkeypatch: pytest.MonkeyPatch):
    """An error that nobody expected is one message; with --debug, wherever it stands, the traceback comes along."""

    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("durably.cli.commands.choose", broken)
    ended = run("services")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("durably: ZeroDivisionError: oh")
    assert "Traceback" not in ended.err
    for arguments in (("--debug", "services"), ("services", "--debug")):
        assert "Traceback" in run(*arguments).err
    monkeypatch.setattr("durably.cli.commands.choose", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run("services").code == 130


def test_nobody_answers(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A runtime that cannot be reached, and a file that is not there, are exit code 3."""
    monkeypatch.chdir(tmp_path)
    nobody = f"http://127.0.0.1:{free_port()}"
    for arguments in (
        ("services", "--admin-url", nobody),
        ("call", "A/b", "1", "--url", nobody),
        ("services", "--db", "none.db"),
    ):
        ended = run(*arguments)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith("durably: ")
    assert run("services", "--db", str(tmp_path)).code == 1
    Path("other.db").write_bytes(b"no database" * 100)
    assert run("services", "--db", "other.db").code == 3
    assert run("services", "--url", nobody).code == 2  # the admin API cannot be told from it


def test_the_choice_of_a_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Options before the environment, that before the file in the folder, that before the usual addresses."""
    monkeypatch.chdir(tmp_path)
    assert choose(environ={}).admin_url == "http://localhost:9070"
    Path("durably.db").touch()
    assert choose(environ={}).db == "durably.db"
    assert choose(environ={"DURABLY_URL": "sqlite:////var/a.db"}).db == "/var/a.db"
    named = choose(environ={"DURABLY_URL": "http://server:8080", "DURABLY_TOKEN": "t"})
    assert (named.ingress_url, named.admin_url, named.token) == ("http://server:8080", "http://server:9070", "t")
    assert choose("http://other:1", environ={"DURABLY_URL": "http://server:8080"}).admin_url is None
    assert choose(db="b.db", environ={"DURABLY_URL": "http://server:8080"}).db == "b.db"
    for wrong in ({"url": "ftp://x"}, {"url": "http://x", "db": "y"}, {"admin_url": "http://x:port"}):
        with pytest.raises(UsageError):
            choose(**wrong, environ={})
    with pytest.raises(ConfigurationError, match="memory"):
        choose(environ={"DURABLY_URL": "memory://"})


def test_a_file_that_nobody_drives(run: Run, tmp_path: Path):
    """It can be read as before; what would change it is exit code 3, and nothing is changed."""
    path = tmp_path / "shop.db"
    at = ("--db", str(path))
    with running_engine(path):
        assert run("call", "Orders/place", '"mug"', *at).code == 0
    before = path.read_bytes()
    [row] = run("invocations", "list", "--service", "Orders", "--json", *at).json
    assert run("journal", "show", row["id"], *at).code == 0
    assert run("state", "get", "Carts", "ada", "count", *at).json == 1
    for arguments in (
        ("invocations", "purge", row["id"], "--yes"),
        ("call", "Orders/place", '"mug"'),
        ("state", "clear", "Carts", "ada", "--yes"),
        ("register", "http://127.0.0.1:1"),
    ):
        refused = run(*arguments, *at)
        assert (refused.code, refused.out) == (3, "")
        assert "No process drives" in refused.err
    [_, driver] = run("doctor", "--json", *at).json
    assert (driver["check"], driver["verdict"]) == ("driver", "warn")
    assert path.read_bytes() == before


def test_questions(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What cannot be undone asks first, naming the runtime; no, or nobody to ask, does nothing and is exit code 1."""
    path = tmp_path / "shop.db"
    at = ("--db", str(path))
    with running_engine(path):
        sent = run("send", "Orders/wait", *at).out.strip()
        monkeypatch.setattr("typer.confirm", lambda question, **_: str(path) not in question)
        for arguments in (
            ("invocations", "kill", sent),
            ("invocations", "resume", "--service", "Orders"),
            ("invocations", "restart", "--service", "Orders"),
            ("invocations", "purge", "--service", "Orders"),
            ("state", "set", "Carts", "ada", "count", "1"),
            ("state", "clear", "Carts", "ada"),
            ("register", "http://127.0.0.1:1", "--force"),
        ):
            refused = run(*arguments, *at)
            assert refused.code in (0, 1)
            assert "Nothing was done" in refused.err or "no such invocations" in refused.err, arguments
        assert run("invocations", "show", sent, "--json", *at).json["completion_result"] is None
        assert run("invocations", "kill", sent, "--yes", *at).code == 0


def test_completion():
    """Typer's completion for shells is there."""
    code = "import sys; from durably.__main__ import main; sys.exit(main([]))"
    env = {**environment(), "_DURABLY_COMPLETE": "complete_bash", "COMP_WORDS": "durably inv", "COMP_CWORD": "1"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert "invocations" in shown.stdout.split()
