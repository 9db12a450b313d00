"""Several processes of one application on one database: calls, addresses of results, and the loss of the driver."""

from __future__ import annotations

import multiprocessing
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from durably.authoring.handlers import handler_of
from durably.endpoint import Endpoint
from durably.web.calls import Accepted, Done, EndpointCall, Failed, Outcome, perform_blocking, poll_blocking
from durably.web.link import Link
from durably.web.settings import read_settings
from tests.web.shop import gates, place, services

PLACE = handler_of(place)


def link_at(path: Path) -> Link:
    """Make the link of one process."""
    return Link(read_settings({"url": f"sqlite:///{path}"}, {}, {}), Endpoint().bind(*services))


def _drive(path: Path, pipe: Any) -> None:
    link = link_at(path)
    link.start_blocking()
    pipe.send(link.facts.tokens.make("inv_1", "S", "h", key=None, idempotency_key=None))
    pipe.recv()


def test_what_was_accepted_survives_the_process_that_drives(tmp_path: Path) -> None:
    """Killed in the middle: the other takes over. Calls with a key get their result, others it or a 503 that tells."""
    path = tmp_path / "d.db"
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    driver = spawn.Process(target=_drive, args=(path, theirs))
    driver.start()
    token = ours.recv()
    link = link_at(path)
    link.start_blocking()
    assert link.engine is not None
    assert not link.engine.is_driving
    assert link.facts.tokens.make("inv_1", "S", "h", key=None, idempotency_key=None) == token
    assert isinstance(perform_blocking(link, EndpointCall(handler=PLACE, payload=b"{}")), Done)
    gate = str(uuid.uuid4())
    payload = f'{{"gate": "{gate}"}}'.encode()
    outcomes: dict[str, Outcome] = {}

    def call(name: str, **how: Any) -> None:
        outcomes[name] = perform_blocking(link, EndpointCall(handler=PLACE, payload=payload, **how))

    threads = [
        threading.Thread(target=call, args=("plain",)),
        threading.Thread(target=call, args=("keyed",), kwargs={"idempotency_key": "k"}),
    ]
    for thread in threads:
        thread.start()
    call("accepted", prefer="respond-async")
    accepted = outcomes["accepted"]
    assert isinstance(accepted, Accepted)
    assert accepted.location is not None
    time.sleep(0.05)  # both calls are under way; earlier, they would only wait for the other process
    driver.kill()
    driver.join()
    gates[gate].set()
    for thread in threads:
        thread.join()
    assert isinstance(outcomes["keyed"], Done)
    plain = outcomes["plain"]
    if isinstance(plain, Failed):  # else it had not been handed over yet
        assert (plain.status, "may have taken the call" in plain.message) == (503, True)
    else:
        assert isinstance(plain, Done)
    assert isinstance(poll_blocking(link, accepted.location.rpartition("/")[2], "wait=10"), Done)
    link.stop_blocking()
