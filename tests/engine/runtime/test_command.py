"""`python -m durably engine`: its arguments, its ready line, its signals and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from durably.engine.cli import main
from tests.protocol.signing import Signer

READY = re.compile(r"durably engine ready: ingress (http://\S+) admin (http://\S+)")


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Start the command on free ports; gives the process and both addresses."""
    command = [sys.executable, "-m", "durably", "engine", "--ingress-port", "0", "--admin-port", "0", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "DURABLY_TOKEN"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        ready = READY.search(process.stdout.readline())
        assert ready is not None, process.stderr.read()
        yield process, ready[1], ready[2]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals):
    """Both APIs answer after the ready line; a signal ends it with 0 within seconds."""
    with running("--db", str(tmp_path / "x.db"), "--inactivity-timeout", "0s") as (process, ingress, admin):
        with urllib.request.urlopen(f"{ingress}/restate/health") as answer:
            assert json.load(answer) == {"services": []}
        with urllib.request.urlopen(f"{admin}/version") as answer:
            assert "version" in json.load(answer)
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_others_need_a_token(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Listening beyond this machine without a token is refused, and the message says what to set."""
    monkeypatch.delenv("DURABLY_TOKEN", raising=False)
    assert main(["--db", str(tmp_path / "x.db"), "--host", "0.0.0.0"]) == 1
    assert "DURABLY_TOKEN" in capsys.readouterr().err
    assert not (tmp_path / "x.db").exists()


def test_a_taken_port_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """It ends with 1 and names the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--db", str(tmp_path / "x.db"), "--ingress-port", str(port), "--admin-port", "0"]) == 1
    assert str(port) in capsys.readouterr().err


def test_a_file_that_cannot_be_used_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """It ends with 1 and says why."""
    (tmp_path / "x.db").write_text("this is no database, but long enough to look like one" * 20)
    assert main(["--db", str(tmp_path / "x.db"), "--ingress-port", "0", "--admin-port", "0"]) == 1
    assert "x.db" in capsys.readouterr().err


def test_an_identity_is_read_before_anything_is_opened(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """A key file that is not there ends it with 1, and no file is made."""
    arguments = ["--db", str(tmp_path / "x.db"), "--request-identity-private-key-pem-file", str(tmp_path / "no.pem")]
    assert main(arguments) == 1
    assert "no.pem" in capsys.readouterr().err
    assert not (tmp_path / "x.db").exists()


def test_the_public_key_of_the_identity_is_told(tmp_path: Path):
    """With a key requests are signed, and the log has what deployments are to be given."""
    signer, file = Signer("engine"), tmp_path / "identity.pem"
    file.write_bytes(signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    with running("--db", ":memory:", "--request-identity-private-key-pem-file", str(file)) as (process, _, _):
        process.terminate()
        _, log = process.communicate(timeout=10)
        assert signer.key in log


@pytest.mark.parametrize("arguments", [["--inactivity-timeout", "10"], ["--allow-network", "10.0.0.1/8"], ["--what"]])
def test_wrong_arguments_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """They are refused before anything is opened, and the message names the argument."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err
