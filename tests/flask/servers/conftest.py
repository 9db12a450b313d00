"""Starts the cells of the matrix: the next ones while the tests of one run, each only once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from durably.testing.server import RestateServer
from tests.flask.servers.cells import KINDS, Cell, Kind

AHEAD = 3  # starting is mostly importing: more of them at once than cores only wait for each other


class Cells:
    """The cells that the selected tests need, started in the order of the tests."""

    def __init__(self, wanted: list[Kind], folder: Path) -> None:
        """Begin to start them."""
        self._folder = folder
        self._pool = ThreadPoolExecutor(AHEAD, "cells")
        self._restate: Future[RestateServer] | None = None
        if any(kind.runtime == "restate" for kind in wanted):
            self._restate = self._pool.submit(self._start_restate)
        self._waiting = list(wanted)
        self._started: dict[Kind, Future[Cell]] = {}
        self._go_ahead()

    def take(self, kind: Kind) -> Cell:
        """Give a cell that runs."""
        while kind not in self._started:
            self._go_ahead()
        return self._started[kind].result()

    def give_back(self, kind: Kind) -> None:
        """End a cell, and start another one ahead."""
        self._started[kind].result().kill()
        self._go_ahead()

    def close(self) -> None:
        """End everything."""
        for future in self._started.values():
            if not future.cancel() and future.exception() is None:
                future.result().kill()
        self._pool.shutdown()
        if self._restate is not None and self._restate.exception() is None:
            self._restate.result().stop()

    def _go_ahead(self) -> None:
        for kind in self._waiting[:AHEAD]:
            self._started[kind] = self._pool.submit(partial(self._start, kind))
        del self._waiting[:AHEAD]

    def _start_restate(self) -> RestateServer:
        server = RestateServer()
        server.start()
        return server

    def _start(self, kind: Kind) -> Cell:
        folder = self._folder / str(kind)
        folder.mkdir()
        restate = None
        if kind.runtime == "restate":
            assert self._restate is not None
            restate = self._restate.result()
        cell = Cell(kind, folder, restate)
        cell.start()
        return cell


@pytest.fixture(scope="session")
def cells(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """Give the cells."""
    wanted: list[Kind] = []
    for item in request.session.items:
        kind = getattr(item, "callspec", None) and item.callspec.params.get("cell")
        if isinstance(kind, Kind) and kind not in wanted:
            wanted.append(kind)
    found = Cells(wanted, tmp_path_factory.mktemp("cells"))
    yield found
    found.close()


@pytest.fixture(scope="module", params=KINDS, ids=str)
def cell(request: pytest.FixtureRequest, cells: Cells) -> Iterator[Cell]:
    """Give a web server with the application, on one of the runtimes."""
    kind: Kind = request.param
    yield cells.take(kind)
    cells.give_back(kind)
